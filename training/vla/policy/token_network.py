"""A pre-trained vision-language model that answers with action tokens, as OpenVLA-OFT's token variant does.

Put together from transformers' parts (Kim et al. 2024, arXiv:2406.09246; Kim et al. 2025, arXiv:2502.19645; with a
token head as in SimpleVLA-RL, Li et al. 2025, arXiv:2509.09674): image encoders side by side, a projector to the
width of the language model, and the language model. The sequence is

    <s>, patches of the image, the rest of the prompt, one query for each number of the chunk, </s>

and every position attends to every other. Queries are zeros, which their positions alone tell apart; the position
before a query predicts its token. A token is one of the last `bins` words of the language model's table.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from training.errors import ConfigError
from training.vla.policy.backbone import Backbone, Part
from training.vla.policy.config import PADDING, VlaConfig

parts: Any = transformers  # whose makers have no types


class TokenNetwork(nn.Module):
    """See the module. Made with random weights; `training.vla.openvla.checkpoint` fills in published ones.

    Raises:
        ConfigError: the configuration has no backbone, or one whose parts do not fit each other.
    """

    def __init__(self, config: VlaConfig) -> None:
        super().__init__()
        if config.backbone is None:
            raise ConfigError("backbone", None, "sizes of image encoders and a language model for network 'tokens'")
        backbone, self.config = config.backbone, config
        encoders = [ImageEncoder(one, config.image_size) for one in backbone.vision]
        self.encoders = nn.ModuleList(encoders)
        self.language: Any = parts.AutoModel.from_config(_config(backbone.language), attn_implementation="eager")
        width = int(self.language.config.hidden_size)
        self.projector = projector(sum(one.width for one in encoders), width, len(encoders))
        if not config.bins <= backbone.last_token < self.language.config.vocab_size:
            raise ConfigError("backbone last_token", backbone.last_token, f"{config.bins} to the size of its table")
        self.head = nn.Linear(width, self.language.config.vocab_size, bias=False)
        self.proprio = None if config.proprio is None else proprio_projector(len(config.proprio.low), width)

    def forward(self, images: Tensor, words: Tensor, proprio: Tensor) -> Tensor:
        """See `VlaNetwork`; `words` are ids of the language model's tokens."""
        config, count = self.config, self.config.chunk * self.config.dimensions
        embed, seen = self.language.get_input_embeddings(), self.look(images)
        if self.proprio is not None:
            seen = torch.cat([seen, self.proprio(proprio)[:, None]], dim=1)
        text = embed(words)
        queries = text.new_zeros(len(words), count, text.shape[-1])
        stop = embed(torch.full_like(words[:, :1], self.backbone.stop_token))
        sequence = torch.cat([text[:, :1], seen.to(text.dtype), text[:, 1:], queries, stop], dim=1)
        there = words != PADDING
        some = torch.ones_like(there[:, :1])
        is_token = torch.cat(
            [there[:, :1], some.expand(-1, seen.shape[1]), there[:, 1:], some.expand(-1, count + 1)], 1
        )
        hidden = self.language(
            inputs_embeds=sequence,
            attention_mask=_everybody_to_everybody(is_token, sequence.dtype),
            position_ids=(is_token.cumsum(1) - 1).clamp(min=0),
            use_cache=False,
        ).last_hidden_state
        first = seen.shape[1] + words.shape[1]
        last_word = (seen.shape[1] + there.sum(1) - 1)[:, None, None].expand(-1, 1, hidden.shape[-1])
        before = torch.cat([hidden.gather(1, last_word), hidden[:, first : first + count - 1]], dim=1)
        rows = self.head.weight[self.backbone.last_token - config.bins + 1 : self.backbone.last_token + 1].flip(0)
        logits = functional.linear(before, rows).float()
        return torch.unflatten(logits, 1, (config.chunk, config.dimensions))

    def look(self, images: Tensor) -> Tensor:
        """Encodes images (B, S, S, 3) uint8, (B, patches, width of the language model)."""
        pixels = images.permute(0, 3, 1, 2).float() / 255.0
        pixels = centre_crop(pixels.flip(-1) if self.backbone.mirrored else pixels, self.backbone.crop)
        projected: Tensor = self.projector(torch.cat([one(pixels) for one in self.encoders], dim=-1))
        return projected

    @property
    def backbone(self) -> Backbone:
        """Returns the sizes and constants of the parts."""
        assert self.config.backbone is not None  # checked when made
        return self.config.backbone


class ImageEncoder(nn.Module):
    """Patches of one image encoder, of its last layer but one and without its last norm, as in OpenVLA."""

    def __init__(self, sizes: Part, image_size: int) -> None:
        super().__init__()
        config = _config({**sizes, "image_size": image_size})
        self.model: Any = parts.AutoModel.from_config(config, attn_implementation="eager")
        self.width = int(config.hidden_size)
        self.others = 1 + config.num_register_tokens if config.model_type == "dinov2_with_registers" else 0
        imagenet = self.others > 0
        self.register_buffer("mean", _channels(0.485, 0.456, 0.406) if imagenet else _channels(0.5, 0.5, 0.5), False)
        self.register_buffer("std", _channels(0.229, 0.224, 0.225) if imagenet else _channels(0.5, 0.5, 0.5), False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encodes pixels (B, 3, S, S) in [0, 1], (B, patches, width)."""
        normalised = (pixels - self.get_buffer("mean")) / self.get_buffer("std")
        patches: Tensor = self.model(normalised, output_hidden_states=True).hidden_states[-2][:, self.others :]
        return patches


def projector(seen: int, width: int, encoders: int) -> nn.Sequential:
    """Makes OpenVLA's projector: two layers after one encoder, three after two."""
    if encoders == 1:
        return nn.Sequential(nn.Linear(seen, width), nn.GELU(), nn.Linear(width, width))
    first, second, third = nn.Linear(seen, 4 * seen), nn.Linear(4 * seen, width), nn.Linear(width, width)
    return nn.Sequential(first, nn.GELU(), second, nn.GELU(), third)


def proprio_projector(numbers: int, width: int) -> nn.Sequential:
    """Makes OpenVLA-OFT's projector of proprioception to one token."""
    return nn.Sequential(nn.Linear(numbers, width), nn.GELU(), nn.Linear(width, width))


def centre_crop(pixels: Tensor, area: float) -> Tensor:
    """Cuts the middle that has this fraction of the image's area and scales it back (bilinear)."""
    if area == 1.0:
        return pixels
    side = area**0.5 * torch.linspace(-1.0, 1.0, pixels.shape[-1], device=pixels.device)
    grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), dim=-1)
    return functional.grid_sample(pixels, grid.expand(len(pixels), -1, -1, -1), align_corners=True)


def _config(sizes: Part) -> Any:
    kind = sizes.get("model_type")
    try:
        return parts.AutoConfig.for_model(**sizes)
    except (ValueError, TypeError) as error:
        raise ConfigError("backbone model_type", kind, "a kind of model that transformers knows") from error


def _everybody_to_everybody(is_token: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns what is added to attention (B, 1, 1 -> S, S): nothing, and the least number where padding is attended."""
    mask = torch.zeros(is_token.shape, dtype=dtype, device=is_token.device)
    mask = mask.masked_fill(~is_token, torch.finfo(dtype).min)
    return mask[:, None, None].expand(-1, 1, is_token.shape[1], -1)


def _channels(*values: float) -> Tensor:
    return torch.tensor(values)[None, :, None, None]
