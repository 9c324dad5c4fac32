"""The frozen image encoder of a run: its file, and the features that are computed with it and stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from policy_server.manifest import sha256_of
from robots.spec import U8Image
from training.errors import CheckpointError
from training.models.config import ImageConfig, PolicyConfig
from training.models.image_encoder import image_encoder
from training.runtime.checkpoint import load

ENCODER_FILE = "encoder.pt"
BATCH = 48
"""Images per batch of the encoder."""


def encoder_path(run: Path) -> Path:
    """Path of a run's pre-trained CNN."""
    return run / ENCODER_FILE


def run_encoder(run: Path, config: PolicyConfig) -> nn.Module:
    """Loads the frozen encoder of a run: its pre-trained CNN, or DINOv2.

    Raises:
        CheckpointError: the CNN has not been trained yet, or is of another size.
    """
    encoder = image_encoder(config.image)
    if config.image.kind != "cnn":
        return encoder
    path = encoder_path(run)
    if not path.is_file():
        raise CheckpointError(f"{path}: got no such file, expected what `ferry train perception --run {run}` writes")
    payload = load(path, "image_encoder")
    if ImageConfig(**payload["image"]) != config.image:
        raise CheckpointError(f"{path}: got an encoder for {payload['image']}, expected {asdict(config.image)}")
    encoder.load_state_dict(payload["weights"])
    return encoder


def encoder_name(run: Path, config: PolicyConfig, origin: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Identifies the encoder of stored features: the hash of the CNN's file, or the source of DINOv2's weights.

    With the `origin` of an imported checkpoint it is the hash of the released file.
    """
    if origin:
        return str(origin["sha256"])
    if config.image.kind != "cnn":
        return config.image.weights or "random"
    path = encoder_path(run)
    return sha256_of(path.read_bytes()) if path.is_file() else "untrained"


def encode_images(encoder: nn.Module, images: Sequence[tuple[U8Image, ...]]) -> npt.NDArray[np.float16]:
    """Encodes S steps of one image per camera into tokens (S, cameras, K, C) float16."""
    flat = np.stack([image for step in images for image in step])
    with torch.inference_mode():
        parts = [encoder(torch.from_numpy(flat[i : i + BATCH])) for i in range(0, len(flat), BATCH)]
    tokens = torch.cat(parts).to(torch.float16).numpy()
    out: npt.NDArray[np.float16] = tokens.reshape(len(images), -1, *tokens.shape[1:])
    return out
