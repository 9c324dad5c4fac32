"""Diffusion Policy as LeRobot builds it: a ResNet with keypoints for each image, and a U-Net that denoises actions.

The modules have LeRobot's names, so that its parameters fit as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from training.lerobot.config import DiffusionConfig
from training.lerobot.denoising import table
from training.lerobot.resnet import WIDTHS, FrozenNorm, group_norm, stages
from training.lerobot.unet import UNet


class Keypoints(nn.Module):
    """Where each of K maps is highest, softly: x and y, from -1 to 1 (Finn et al. 2016)."""

    def __init__(self, count: int, height: int, width: int) -> None:
        super().__init__()
        self.nets = nn.Conv2d(WIDTHS[-1], count, 1)
        self.register_buffer("pos_grid", torch.zeros(height * width, 2))

    def forward(self, features: Tensor) -> Tensor:
        """(1, C, H, W) -> (1, 2 K)."""
        share = self.nets(features).flatten(2).softmax(-1)
        places: Tensor = share @ self.get_buffer("pos_grid")
        return places.flatten(1)


class ImageEncoder(nn.Module):
    """The centre of an image -> a vector."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        sides = config.feature(config.images[0]).shape[1:]
        self.crop = config.crop_shape or (sides[0], sides[1])
        self.corner = tuple(round((side - kept) / 2) for side, kept in zip(sides, self.crop))
        norm = group_norm if config.use_group_norm else FrozenNorm
        self.backbone = nn.Sequential(*(part for _, part in stages(config.vision_backbone, norm)))
        self.size = 2 * config.spatial_softmax_num_keypoints
        self.pool = Keypoints(self.size // 2, *(-(-side // 32) for side in self.crop))  # a 32nd, rounded up
        self.out = nn.Linear(self.size, self.size)

    def forward(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) normalised -> (1, 2 K)."""
        (top, left), (height, width) = self.corner, self.crop
        centre = image[..., top : top + height, left : left + width]
        return torch.relu(self.out(self.pool(self.backbone(centre))))


class DiffusionNetwork(nn.Module):
    """Normalised images and state in, a normalised chunk out."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        count = len(config.images)
        self.is_separate = config.use_separate_rgb_encoder_per_camera
        encoders = [ImageEncoder(config) for _ in range(count if self.is_separate else 1)]
        self.rgb_encoder: nn.Module = nn.ModuleList(encoders) if self.is_separate else encoders[0]
        self.observed = config.numbers + count * encoders[0].size
        self.unet = UNet(config, config.n_obs_steps * self.observed)
        self.register_buffer("steps", table(config), persistent=False)
        self.clip = config.clip_sample_range if config.clip_sample else None
        self.noises = self.get_buffer("steps")[:, -1].count_nonzero().item() > 0

    def encode(self, images: Sequence[Tensor], state: Tensor) -> Tensor:
        """Images (1, 3, H, W) and state (1, n) -> one observation (1, observed)."""
        if isinstance(self.rgb_encoder, nn.ModuleList):
            seen = [encoder(image) for encoder, image in zip(self.rgb_encoder, images)]
        else:
            seen = [self.rgb_encoder(image) for image in images]
        return torch.cat((state, *seen), -1)

    def denoise(self, observed: Tensor, noise: Tensor) -> Tensor:
        """Draws actions.

        Args:
            observed: the last observations, (1, n_obs_steps * observed).
            noise: standard normal, (1 + steps, horizon, m): the first is where it begins, the others are added; or
                (1, horizon, m) for a scheduler that adds none.

        Returns:
            actions (1, horizon, m), from the first of the observations on.
        """

        def step(sample: Tensor, given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            (t, a, b, c, d, e, s), fresh = given[0].unbind(), given[1]
            predicted = self.unet(sample, t[None], observed)
            clean = a * sample + b * predicted
            if self.clip is not None:
                clean = clean.clamp(-self.clip, self.clip)
            following = c * clean + d * sample + e * predicted + s * fresh[None]
            return following, following[0, 0, 0].clone()

        rows = self.get_buffer("steps")
        fresh = noise[1:] if self.noises else torch.zeros(len(rows), 1, 1)
        if torch.compiler.is_exporting():  # one step in the graph, however many are taken
            actions: Tensor = scan(step, noise[:1], (rows, fresh))[0]
            return actions
        sample = noise[:1]
        for given in zip(rows, fresh.expand(len(rows), -1, -1)):
            sample, _ = step(sample, given)
        return sample
