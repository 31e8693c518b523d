"""A quantised dynamic linear layer, by the engine that torch chooses for this CPU."""

import torch

weight = torch.quantize_per_tensor(torch.randn(8, 16), 0.05, 0, torch.qint8)
packed = torch.ops.quantized.linear_prepack(weight, torch.zeros(8))
x = torch.randn(6, 16)
found = torch.ops.quantized.linear_dynamic(x, packed)
assert float((found - x @ weight.dequantize().T).abs().max()) < 0.5
