"""BEVFormer-tiny evaluated on nuScenes, on one GPU or the CPU, from tars or directories."""

__version__ = "0.1.0"
