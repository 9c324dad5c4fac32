"""Augmentation of images in training, after FLaRe's "v2" (utils/transformation_util.py): (N, 3, H, W) in [0, 1].

Colour jitter (brightness .4, contrast .4, saturation .2, hue .05), blur, sharpening (p .5) and posterisation (7 to 4
bits, p .2 each), one draw per image. Two things differ, because 84 x 144 images are small: fewer are blurred, and
there is no random crop, since labels belong to cells of the whole image (the simulator draws another camera
calibration for every episode instead).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
BLUR_SHARE, SHARPEN_SHARE, POSTERISE_SHARE = 0.2, 0.3, 0.2


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Augments each image; same shape and range."""
    images = colour_jitter(images, generator)
    draw = torch.rand(len(images), generator=generator)
    blurred = draw < BLUR_SHARE
    sharpened = (draw >= BLUR_SHARE) & (draw < BLUR_SHARE + SHARPEN_SHARE)
    images[blurred] = blur(images[blurred])
    images[sharpened] = sharpen(images[sharpened])
    for bits in (6, 4):
        chosen = torch.rand(len(images), generator=generator) < POSTERISE_SHARE
        images[chosen] = posterise(images[chosen], bits)
    return images


def colour_jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Draws brightness, contrast, saturation and hue per image, as one linear map of its colours."""

    def factor(spread: float) -> Tensor:
        return 1.0 + spread * (2.0 * torch.rand(len(images), 1, 1, generator=generator) - 1.0)

    brightness, contrast, saturation = factor(0.4), factor(0.4), factor(0.2)
    luma = torch.tensor(LUMA).expand(3, 3)
    hue = hue_rotation((factor(0.05) - 1.0).flatten() * 2.0 * torch.pi)
    matrix = brightness * contrast * (hue @ (saturation * torch.eye(3) + (1 - saturation) * luma))
    mean = brightness * (images.mean(dim=(2, 3)) @ torch.tensor(LUMA))[:, None, None]
    pixels = torch.baddbmm((1 - contrast) * mean, matrix, images.flatten(2))
    return pixels.clamp_(0, 1).view_as(images)


def hue_rotation(angle_rad: Tensor) -> Tensor:
    """(N,) angles -> (N, 3, 3) rotations about the grey axis (Rodrigues' formula); grey stays as it is."""
    c, s = angle_rad.cos(), angle_rad.sin()
    a, b, d = c + (1 - c) / 3, (1 - c) / 3 - s / 3**0.5, (1 - c) / 3 + s / 3**0.5
    return torch.stack([a, b, d, d, a, b, b, d, a], dim=1).view(-1, 3, 3)


def blur(images: Tensor) -> Tensor:
    """A 3 x 3 binomial blur."""
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line[None, :]).expand(3, 1, 3, 3)
    return functional.conv2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)


def sharpen(images: Tensor) -> Tensor:
    """Sharpens: twice the image minus its blur, clipped."""
    return (2.0 * images - blur(images)).clamp(0, 1)


def posterise(images: Tensor, bits: int) -> Tensor:
    """Keeps the upper `bits` of 8."""
    step = 2.0 ** (8 - bits)
    return torch.floor(images * (255.0 / step)) * (step / 255.0)
