"""The encoder that fills the BEV, and the decoder that finds objects in it."""

from __future__ import annotations

from typing import List, Tuple

import torch
from torch import Tensor, nn

from bevformer_eval.data import CAMERAS, CAN_BUS_SIZE
from bevformer_eval.model import geometry
from bevformer_eval.model.attention import (
    BevCrossAttention,
    CameraView,
    FeedForward,
    History,
    ObjectSelfAttention,
    SpatialCrossAttention,
    TemporalSelfAttention,
)
from bevformer_eval.model.constants import (
    DECODER_LAYERS,
    EMBED_DIMS,
    ENCODER_LAYERS,
)

# The checkpoint holds one embedding for each of four pyramid levels; tiny has only the first.
LEVEL_EMBEDDINGS = 4


def _layer(attentions: List[nn.Module]) -> nn.Module:
    layer = nn.Module()
    layer.attentions = nn.ModuleList(attentions)
    layer.ffns = nn.ModuleList([FeedForward()])
    layer.norms = nn.ModuleList([nn.LayerNorm(EMBED_DIMS) for _ in range(3)])
    return layer


class Encoder(nn.Module):
    """BEV queries through temporal and spatial attention, three times."""

    def __init__(self) -> None:
        super().__init__()
        layers = [
            _layer([TemporalSelfAttention(), SpatialCrossAttention()])
            for _ in range(ENCODER_LAYERS)
        ]
        self.layers = nn.ModuleList(layers)
        self.register_buffer("reference", geometry.bev_reference_points(), persistent=False)

    def forward(self, pos: Tensor, features: Tensor, view: CameraView, history: History) -> Tensor:
        """Return the BEV (B, 2500, 256); pos is (2500, 256), features (B, 6 * h * w, 256)."""
        query = history.current
        for layer in self.layers:
            temporal, spatial = layer.attentions
            query = layer.norms[0](temporal(query, pos, self.reference, history))
            query = layer.norms[1](spatial(query, features, view))
            query = layer.norms[2](layer.ffns[0](query))
        return query


class Decoder(nn.Module):
    """Object queries through self-attention and BEV attention, six times, refining their boxes."""

    def __init__(self) -> None:
        super().__init__()
        layers = [
            _layer([ObjectSelfAttention(), BevCrossAttention()]) for _ in range(DECODER_LAYERS)
        ]
        self.layers = nn.ModuleList(layers)

    def forward(
        self,
        query: Tensor,
        pos: Tensor,
        reference: Tensor,
        bev: Tensor,
        reg_branches: nn.ModuleList,
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Return the last layer's queries (B, 900, 256), codes (B, 900, 10) and centres.

        reference and the centres are (B, 900, 3): x, y and z in [0, 1] of the point cloud range.
        """
        code = reference
        for layer, branch in zip(self.layers, reg_branches):
            objects, cross = layer.attentions
            query = layer.norms[0](objects(query, pos))
            query = layer.norms[1](cross(query, pos, reference[..., :2], bev))
            query = layer.norms[2](layer.ffns[0](query))
            code = branch(query)
            moved = torch.cat((code[..., :2], code[..., 4:5]), -1)
            reference = (moved + inverse_sigmoid(reference)).sigmoid()
        return query, code, reference


class Transformer(nn.Module):
    """Camera features and ego motion to the BEV and the objects in it."""

    def __init__(self) -> None:
        super().__init__()
        self.level_embeds = nn.Parameter(torch.zeros(LEVEL_EMBEDDINGS, EMBED_DIMS))
        self.cams_embeds = nn.Parameter(torch.zeros(len(CAMERAS), EMBED_DIMS))
        self.can_bus_mlp = nn.Sequential(
            nn.Linear(CAN_BUS_SIZE, EMBED_DIMS // 2),
            nn.ReLU(),
            nn.Linear(EMBED_DIMS // 2, EMBED_DIMS),
            nn.ReLU(),
        )
        self.can_bus_mlp.add_module("norm", nn.LayerNorm(EMBED_DIMS))
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.reference_points = nn.Linear(EMBED_DIMS, 3)

    def place(self, features: Tensor) -> Tensor:
        """Return features (B, 6, 256, h, w) as (B, 6 * h * w, 256), marked with their camera."""
        cells = features.flatten(3).transpose(2, 3)
        return (cells + self.cams_embeds[:, None] + self.level_embeds[0]).flatten(1, 2)


def inverse_sigmoid(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Return log(x / (1 - x)), with both kept at eps or more."""
    x = x.clamp(min=0, max=1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))
