"""Evaluation at the speed of the GPU: frames of several scenes in one batch, loading overlapped."""
