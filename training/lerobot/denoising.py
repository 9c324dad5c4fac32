"""Denoising as a table: one row a step, whatever the scheduler (DDPM, Ho et al. 2020; DDIM, Song et al. 2021).

With the sample x, the network's prediction p and fresh noise z a step computes

    x0 = clip(a x + b p),    x' = c x0 + d x + e p + s z.

The schedules of noise, the steps that are taken and the variances are those of diffusers' DDPMScheduler and
DDIMScheduler (eta 0) with the settings that LeRobot gives them and the defaults for all else.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.lerobot.config import DiffusionConfig

COLUMNS = ("t", "a", "b", "c", "d", "e", "s")
LEAST_VARIANCE = 1e-20


def table(config: DiffusionConfig) -> Tensor:
    """Returns the steps from noise to actions, (steps, 7): `COLUMNS`."""
    kept = torch.cumprod(1.0 - betas(config), 0)
    stride = config.num_train_timesteps // config.inference_steps
    rows = []
    for t in range((config.inference_steps - 1) * stride, -1, -stride):
        before = float(kept[t - stride]) if t >= stride else 1.0
        rows.append([float(t), *_prediction(config, float(kept[t])), *_step(config, t, float(kept[t]), before)])
    return torch.tensor(rows)


def betas(config: DiffusionConfig) -> Tensor:
    """Returns the variance that each step of training adds, (num_train_timesteps,) float32."""
    count = config.num_train_timesteps
    if config.beta_schedule == "linear":
        return torch.linspace(config.beta_start, config.beta_end, count)
    if config.beta_schedule == "scaled_linear":
        roots: Tensor = torch.linspace(math.sqrt(config.beta_start), math.sqrt(config.beta_end), count)
        return roots.square()

    def left(share: float) -> float:
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    return torch.tensor([min(1 - left((n + 1) / count) / left(n / count), 0.999) for n in range(count)])


def _prediction(config: DiffusionConfig, kept: float) -> tuple[float, float]:
    """a and b: the actions without noise."""
    if config.prediction_type == "sample":
        return 0.0, 1.0
    return 1 / math.sqrt(kept), -math.sqrt(1 - kept) / math.sqrt(kept)


def _step(config: DiffusionConfig, t: int, kept: float, before: float) -> tuple[float, float, float, float]:
    """c, d, e and s: the next sample, whose share of signal is `before`."""
    if config.noise_scheduler_type == "DDPM":
        share = kept / before
        variance = max((1 - before) / (1 - kept) * (1 - share), LEAST_VARIANCE)
        c, d = math.sqrt(before) * (1 - share) / (1 - kept), math.sqrt(share) * (1 - before) / (1 - kept)
        return c, d, 0.0, math.sqrt(variance) if t else 0.0
    c, towards = math.sqrt(before), math.sqrt(1 - before)
    if config.prediction_type == "epsilon":
        return c, 0.0, towards, 0.0
    return c, towards / math.sqrt(1 - kept), -towards * math.sqrt(kept) / math.sqrt(1 - kept), 0.0
