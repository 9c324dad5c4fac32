"""The trunk of ResNet-18 and ResNet-34 (He et al. 2016), with torchvision's names for its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

LAYERS: Mapping[str, tuple[int, int, int, int]] = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)
Norm = Callable[[int], nn.Module]


class FrozenNorm(nn.Module):
    """Batch normalisation whose statistics stay as they are; it has no counter of batches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        weight, bias = self.get_buffer("weight"), self.get_buffer("bias")
        return nn.functional.batch_norm(features, mean, variance, weight, bias, training=False)


def group_norm(channels: int) -> nn.Module:
    """Makes normalisation over groups of 16 channels, in place of that over a batch."""
    return nn.GroupNorm(channels // 16, channels)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = norm(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        inner = torch.relu(self.bn1(self.conv1(features)))
        return torch.relu(self.bn2(self.conv2(inner)) + self.downsample(features))


def stages(kind: str, norm: Norm) -> list[tuple[str, nn.Module]]:
    """Returns the parts in their order, with their names: 3 channels to 512 at a 32nd of height and width."""
    parts: list[tuple[str, nn.Module]] = [
        ("conv1", nn.Conv2d(3, WIDTHS[0], 7, 2, 3, bias=False)),
        ("bn1", norm(WIDTHS[0])),
        ("relu", nn.ReLU()),
        ("maxpool", nn.MaxPool2d(3, 2, 1)),
    ]
    inputs = WIDTHS[0]
    for number, (width, count) in enumerate(zip(WIDTHS, LAYERS[kind]), 1):
        blocks = [Block(inputs, width, 1 if number == 1 else 2, norm)]
        blocks += [Block(width, width, 1, norm) for _ in range(count - 1)]
        parts.append((f"layer{number}", nn.Sequential(*blocks)))
        inputs = width
    return parts
