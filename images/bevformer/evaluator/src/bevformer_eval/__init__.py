"""BEVFormer-tiny evaluated on nuScenes: one process, one GPU or the CPU, from tars or directories."""

__version__ = "0.1.0"
