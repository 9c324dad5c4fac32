"""Configuration of a policy network: one class, two sizes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from robots.previous_action import PreviousActionTokens
from robots.spec import CameraInput, DiscreteActions, PolicySpec, VectorSpec
from training.errors import ConfigError

MINI_TOKEN_WIDTH = 86
"""Numbers per visual token of `CnnEncoder`: 15 categories x 3 columns, 3 + 3 depths, 3 floor fractions, 32 features."""


@dataclass(frozen=True)
class ImageConfig:
    """The frozen image encoder.

    Attributes:
        kind: "dino" (DINOv2 through transformers), "cnn" (a small network pre-trained on the simulator's labels), or
            "siglip" (for imported checkpoints alone).
        height, width: of a camera image, pixels.
        rows, columns: visual tokens per camera.
        token_width: numbers per visual token.
        weights: local folder or hub name of DINOv2's weights; empty for random ones.
        layers, heads: of the "dino" or "siglip" transformer.
        position_offset: patches added to each side when DINOv2's position table is stretched to the image: 0.1 in its
            authors' code (facebookresearch/dinov2 vision_transformer.py interpolate_offset), 0 in transformers.
    """

    kind: str
    height: int
    width: int
    rows: int
    columns: int
    token_width: int
    weights: str = ""
    layers: int = 12
    heads: int = 6
    position_offset: float = 0.0

    @property
    def tokens(self) -> int:
        """Visual tokens per camera."""
        return self.rows * self.columns


@dataclass(frozen=True)
class TextConfig:
    """The text encoder: "t5" or "siglip" (frozen, through transformers) or "words" (a learned vector per word).

    `tokenizer` is the folder of its tokenizer.json where that is not the folder of its weights.
    """

    kind: str
    width: int
    weights: str = ""
    layers: int = 6
    heads: int = 8
    ffn: int = 2048
    tokenizer: str = ""


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of one policy.

    Attributes:
        name: of the preset.
        width: of every token and embedding ("d").
        fusion_layers, fusion_heads, fusion_ffn: the goal-conditioned visual encoder.
        decoder_layers, decoder_heads, decoder_ffn: the causal decoder.
        decoder: "causal" as in FLaRe, or "cross": SPOC's first one, whose layers read the instruction again.
        goal_gate: multiply visual tokens by a gate made from the instruction before fusion (not in SPOC: one fusion
            layer of `mini` cannot learn the product of "what is seen" and "what is wanted" by itself).
        grid_position: add a learned vector per grid cell (DINOv2's features carry their position, the CNN's do not).
        summary: channels per token of a linear summary of both grids that is added to the fusion token; 0 for none.
        actions: names in the order of the logits.
        previous_tokens: size of the previous-action table: the actions, "start" and "padding" as published, and with
            one more "blocked"; see `robots.previous_action`.
        horizon: decisions in the longest episode: capacity of the key-value cache.
        control_period_s: how long one decision may be executed.
    """

    name: str
    image: ImageConfig
    text: TextConfig
    width: int
    fusion_layers: int
    fusion_heads: int
    fusion_ffn: int
    decoder_layers: int
    decoder_heads: int
    decoder_ffn: int
    dropout: float = 0.1
    goal_gate: bool = False
    grid_position: bool = False
    summary: int = 0
    previous_tokens: int = 22
    horizon: int = 1000
    control_period_s: float = 1.0
    decoder: str = "causal"
    fov_deg: float = 59.0
    cameras: tuple[str, ...] = ("navigation", "manipulation")
    actions: tuple[str, ...] = SPOC_ACTIONS.names

    def __post_init__(self) -> None:
        for heads in (self.fusion_heads, self.decoder_heads):
            if self.width % heads:
                raise ConfigError("policy width", self.width, f"a multiple of its {heads} heads")
        sizes = [PreviousActionTokens.after(len(self.actions), blocked).count for blocked in (False, True)]
        if self.previous_tokens not in sizes:
            raise ConfigError("previous_tokens", self.previous_tokens, f"{sizes[0]} or {sizes[1]}")

    @property
    def tokens(self) -> PreviousActionTokens:
        """Tokens of the previous action beside the actions."""
        count = len(self.actions)
        return PreviousActionTokens.after(count, self.previous_tokens == PreviousActionTokens.after(count).count)

    def spec(self) -> PolicySpec:
        """Returns the policy's inputs and outputs as in its manifest."""
        cameras = tuple(CameraInput(name, self.image.height, self.image.width, self.fov_deg) for name in self.cameras)
        in_hand = VectorSpec(("in_hand",), ("bool",), (0.0,), (1.0,))
        return PolicySpec(cameras, in_hand, DiscreteActions(self.actions), self.horizon, self.control_period_s)

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON values, from which `from_json` makes an equal configuration.

        SPOC's actions are left out, so that files and hashes are those of before they could be others.
        """
        data = {**asdict(self), "cameras": list(self.cameras), "actions": list(self.actions)}
        if self.actions == SPOC_ACTIONS.names:
            del data["actions"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PolicyConfig:
        """Inverse of `to_json`; ConfigError lists missing or unknown fields."""
        try:
            image, text = ImageConfig(**data["image"]), TextConfig(**data["text"])
            actions = tuple(data.get("actions", SPOC_ACTIONS.names))
            cameras = tuple(data["cameras"])
            return cls(**{**data, "image": image, "text": text, "cameras": cameras, "actions": actions})
        except (KeyError, TypeError) as error:
            raise ConfigError("policy configuration", f"{type(error).__name__} {error}", "its fields") from error


SMALL_3 = PolicyConfig(
    # SPOC's small_3 with FLaRe's decoder: FLaRe architecture/models/allenact_transformer_models/
    # allenact_dino_transformer.py and training/online/dinov2_vits_tsfm_rgb_augment_objectnav.py.
    name="small_3",
    image=ImageConfig("dino", 224, 384, rows=7, columns=12, token_width=384, weights="facebook/dinov2-small"),
    text=TextConfig("t5", width=512, weights="google-t5/t5-small"),
    width=512,
    fusion_layers=3,
    fusion_heads=8,
    fusion_ffn=2048,
    decoder_layers=3,
    decoder_heads=8,
    decoder_ffn=1536,
)

MINI = PolicyConfig(
    name="mini",
    image=ImageConfig("cnn", 84, 144, rows=4, columns=6, token_width=MINI_TOKEN_WIDTH),
    text=TextConfig("words", width=32),
    width=128,
    fusion_layers=1,
    fusion_heads=4,
    fusion_ffn=256,
    decoder_layers=3,
    decoder_heads=4,
    decoder_ffn=384,
    goal_gate=True,
    grid_position=True,
    summary=24,
    previous_tokens=23,
    horizon=300,
)

PRESETS: Mapping[str, PolicyConfig] = {config.name: config for config in (SMALL_3, MINI)}


def preset(name: str, weights: str | None = None) -> PolicyConfig:
    """Returns the configuration of a name; `weights` = "" takes random encoders, None the preset's own sources.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in PRESETS:
        raise ConfigError("policy size", repr(name), f"one of {', '.join(PRESETS)}")
    config = PRESETS[name]
    if weights is None:
        return config
    return replace(config, image=replace(config.image, weights=weights), text=replace(config.text, weights=weights))


def config_hash(data: Mapping[str, Any]) -> str:
    """Computes the SHA-256 of JSON values in canonical form, hexadecimal."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
