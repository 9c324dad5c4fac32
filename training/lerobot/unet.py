"""The one-dimensional U-Net of Diffusion Policy (Chi et al. 2023) as LeRobot builds it, with its names.

It predicts, of actions with noise, the noise or the actions; every block is modulated by the step of denoising and by
what is observed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.lerobot.config import DiffusionConfig

LAST_GROUPS = 8
"""Of the last block, whatever the configuration says."""


class Waves(nn.Module):
    """Sines, then cosines, of a number at wavelengths from 2 pi to 20,000 pi."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.count = size // 2

    def forward(self, number: Tensor) -> Tensor:
        """(1,) -> (1, size)."""
        frequencies = torch.exp(torch.arange(self.count) * (-math.log(10_000.0) / (self.count - 1)))
        angles = number[:, None] * frequencies[None]
        return torch.cat((angles.sin(), angles.cos()), -1)


class ConvBlock(nn.Module):
    """Convolution along the rows, group normalisation, Mish."""

    def __init__(self, inputs: int, outputs: int, size: int, groups: int) -> None:
        super().__init__()
        convolution = nn.Conv1d(inputs, outputs, size, padding=size // 2)
        self.block = nn.Sequential(convolution, nn.GroupNorm(groups, outputs), nn.Mish())

    def forward(self, rows: Tensor) -> Tensor:
        """(1, inputs, rows) -> (1, outputs, rows)."""
        out: Tensor = self.block(rows)
        return out


class ResidualBlock(nn.Module):
    """Two convolutions with a shortcut; between them a bias, and perhaps a scale, by the condition."""

    def __init__(self, inputs: int, outputs: int, condition: int, config: DiffusionConfig) -> None:
        super().__init__()
        self.outputs, self.scales = outputs, config.use_film_scale_modulation
        size, groups = config.kernel_size, config.n_groups
        self.conv1, self.conv2 = ConvBlock(inputs, outputs, size, groups), ConvBlock(outputs, outputs, size, groups)
        self.cond_encoder = nn.Sequential(nn.Mish(), nn.Linear(condition, outputs * (2 if self.scales else 1)))
        self.residual_conv = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, rows: Tensor, condition: Tensor) -> Tensor:
        """(1, inputs, rows) and (1, condition) -> (1, outputs, rows)."""
        inner, modulation = self.conv1(rows), self.cond_encoder(condition)[..., None]
        if self.scales:
            inner = inner * modulation[:, : self.outputs] + modulation[:, self.outputs :]
        else:
            inner = inner + modulation
        out: Tensor = self.conv2(inner) + self.residual_conv(rows)
        return out


class UNet(nn.Module):
    """Halves the number of rows at each level but the last, and doubles it on the way back."""

    def __init__(self, config: DiffusionConfig, observed: int) -> None:
        super().__init__()
        step, widths = config.diffusion_step_embed_dim, config.down_dims
        condition = step + observed
        self.diffusion_step_encoder = nn.Sequential(
            Waves(step), nn.Linear(step, 4 * step), nn.Mish(), nn.Linear(4 * step, step)
        )

        def pair(inputs: int, outputs: int) -> list[nn.Module]:
            return [
                ResidualBlock(inputs, outputs, condition, config),
                ResidualBlock(outputs, outputs, condition, config),
            ]

        self.down_modules, self.up_modules = nn.ModuleList(), nn.ModuleList()  # three modules a level
        for inputs, width in zip((config.action_numbers, *widths), widths):
            last = len(self.down_modules) == len(widths) - 1
            halve = nn.Identity() if last else nn.Conv1d(width, width, 3, 2, 1)
            self.down_modules.append(nn.ModuleList([*pair(inputs, width), halve]))
        self.mid_modules = nn.ModuleList(pair(widths[-1], widths[-1]))
        for width, inputs in zip(widths[-2::-1], widths[:0:-1]):
            double = nn.ConvTranspose1d(width, width, 4, 2, 1)
            self.up_modules.append(nn.ModuleList([*pair(2 * inputs, width), double]))
        last_block = ConvBlock(widths[0], widths[0], config.kernel_size, LAST_GROUPS)
        self.final_conv = nn.Sequential(last_block, nn.Conv1d(widths[0], config.action_numbers, 1))

    def forward(self, actions: Tensor, step: Tensor, observed: Tensor) -> Tensor:
        """Actions (1, horizon, m), step (1,), observed (1, n) -> (1, horizon, m)."""
        condition = torch.cat((self.diffusion_step_encoder(step), observed), -1)
        rows, kept = actions.transpose(1, 2), []
        for first, second, halve in _levels(self.down_modules):
            rows = second(first(rows, condition), condition)
            kept.append(rows)
            rows = halve(rows)
        for block in self.mid_modules:
            rows = block(rows, condition)
        for first, second, double in _levels(self.up_modules):
            rows = double(second(first(torch.cat((rows, kept.pop()), 1), condition), condition))
        predicted: Tensor = self.final_conv(rows)
        return predicted.transpose(1, 2)


def _levels(modules: nn.ModuleList) -> list[list[nn.Module]]:
    return [list(level.children()) for level in modules]
