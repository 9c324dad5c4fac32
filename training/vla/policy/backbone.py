"""Sizes and constants of a pre-trained vision-language model, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from training.errors import ConfigError

Part: TypeAlias = Mapping[str, Any]
"""Fields of a transformers configuration, with its `model_type`."""


@dataclass(frozen=True)
class Backbone:
    """Parts of a vision-language model.

    Attributes:
        vision: sizes of each image encoder: fields of a transformers configuration with its `model_type`
            ("dinov2_with_registers" or "siglip_vision_model").
        language: the same of the language model ("llama").
        last_token: id that action token 0 has; the others come before it.
        stop_token: id of what ends an answer.
        crop: area of the middle of the image that is used, as a fraction (published policies: 0.9).
        mirrored: whether left and right are exchanged before (published policies of LIBERO: they are).
    """

    vision: tuple[Part, ...]
    language: Part
    last_token: int
    stop_token: int
    crop: float = 1.0
    mirrored: bool = False

    def __post_init__(self) -> None:
        if not self.vision or not 0.0 < self.crop <= 1.0:
            raise ConfigError(
                "backbone", (len(self.vision), self.crop), "an image encoder, and a crop above 0, at most 1"
            )

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON values, from which `from_json` makes an equal backbone."""
        return {**asdict(self), "vision": [dict(one) for one in self.vision], "language": dict(self.language)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Backbone:
        """Inverse of `to_json`; ConfigError lists missing or unknown fields."""
        try:
            return cls(**{**data, "vision": tuple(data["vision"])})
        except (KeyError, TypeError) as error:
            raise ConfigError("backbone", f"{type(error).__name__} {error}", "its fields") from error
