"""The sizes of BEVFormer-tiny, as its published configuration states them."""

from __future__ import annotations

FEATURE_HEIGHT, FEATURE_WIDTH = 15, 25  # the last stage of ResNet-50 on 480x800 pixels
BEV_HEIGHT, BEV_WIDTH = 50, 50
BEV_CELLS = BEV_HEIGHT * BEV_WIDTH
PILLAR_POINTS = 4

EMBED_DIMS = 256
HEADS = 8
HEAD_DIMS = EMBED_DIMS // HEADS
FFN_DIMS = 512
ENCODER_LAYERS = 3
DECODER_LAYERS = 6
OBJECT_QUERIES = 900
CODE_SIZE = 10  # x, y, log w, log l, z, log h, sin yaw, cos yaw, vx, vy

POINT_CLOUD_RANGE = (-51.2, -51.2, -5.0, 51.2, 51.2, 3.0)  # metres: x, y, z low, then high
POST_CENTER_RANGE = (-61.2, -61.2, -10.0, 61.2, 61.2, 10.0)
MAX_DETECTIONS = 300
