"""ResNet-50 and a one-level feature pyramid: camera images to feature maps."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from bevformer_eval.model.constants import EMBED_DIMS

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # channels, blocks, stride
EXPANSION = 4


class Bottleneck(nn.Module):
    """A residual block of ResNet-50; the 3x3 convolution strides, as in torchvision's."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = channels * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features, (N, 4 * channels, H / stride, W / stride)."""
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = functional.relu(self.bn2(self.conv2(out)), inplace=True)
        return functional.relu(self.bn3(self.conv3(out)) + self.downsample(x), inplace=True)


class ResNet50(nn.Module):
    """Images (N, 3, H, W) to the last stage's features (N, 2048, H / 32, W / 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        in_channels = 64
        for number, (channels, blocks, stride) in enumerate(STAGES, 1):
            first = Bottleneck(in_channels, channels, stride)
            in_channels = channels * EXPANSION
            rest = [Bottleneck(in_channels, channels, 1) for _ in range(blocks - 1)]
            setattr(self, f"layer{number}", nn.Sequential(first, *rest))

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of the last stage."""
        x = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        x = functional.max_pool2d(x, 3, 2, padding=1)
        for number in range(1, len(STAGES) + 1):
            x = getattr(self, f"layer{number}")(x)
        return x


class _PlainConv(nn.Module):
    """A convolution with bias under the key `conv`, as the checkpoint names it."""

    def __init__(self, in_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, EMBED_DIMS, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class FPN(nn.Module):
    """The pyramid's single level: (N, 2048, h, w) to (N, 256, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList([_PlainConv(512 * EXPANSION, 1)])
        self.fpn_convs = nn.ModuleList([_PlainConv(EMBED_DIMS, 3)])

    def forward(self, x: Tensor) -> Tensor:
        """Return the level's features."""
        return self.fpn_convs[0](self.lateral_convs[0](x))
