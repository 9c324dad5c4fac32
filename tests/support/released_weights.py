"""Checkpoints with exactly the names and shapes of the released ones, filled by a recipe.

A parameter depends on its name and shape alone: standard normal numbers of numpy's default generator, seeded with the
CRC-32 of the name (`embed_tokens` is `shared`, as in T5), times a scale:
- scales of norms (one-dimensional, `.weight` or `.gamma`): 1 + 0.1 x;
- anything else of one dimension: 0.1 x;
- tables with a first dimension of 1 (tokens and positions of DINOv2): 0.5 x;
- anything else: x / sqrt(inputs), where the inputs are all dimensions but the first.
The expected logits in tests/training/goldens/released.json are what the published networks answer with them; the
one built on SigLIP with one layer in each of its towers.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor

from training.released.releases import IMAGES, LIGHTNING, Release
from training.siglip import CONTEXT, END

TIME = "time_encoder.div_term"
STEPS = 3
TOKENS = (281, 12, 3, 9, 10000, 1)
PREVIOUS = (20, 3, 8)
IN_HAND = (0, 0, 1)


def parameter(name: str, shape: Iterable[int]) -> Tensor:
    """One parameter, see the module."""
    shape = tuple(shape)
    if name == TIME:
        return torch.exp(torch.arange(0, 2 * shape[0], 2) * (-math.log(10_000.0) / (2 * shape[0])))
    seed = zlib.crc32(name.replace("encoder.embed_tokens", "shared").encode())
    values = torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))
    if len(shape) == 1:
        return values * 0.1 + (1.0 if name.endswith((".weight", ".gamma")) else 0.0)
    return values * (0.5 if shape[0] == 1 else 1 / math.sqrt(math.prod(shape[1:])))


def parameters(shapes: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """By name; the image encoder's by their names in torch.hub."""
    return {name: parameter(name.removeprefix(IMAGES), shape) for name, shape in shapes.items()}


def pictures() -> np.ndarray:
    """What both cameras see, (steps, 2, 224, 384, 3) uint8."""
    return np.random.default_rng(5).integers(0, 256, (STEPS, 2, 224, 384, 3), dtype=np.uint8)


def text(release: Release) -> Tensor:
    """The instruction's tokens, (1, L); SigLIP's are filled up to 64."""
    padding = CONTEXT - len(TOKENS) if release.config.text.kind == "siglip" else 0
    return torch.tensor([[*TOKENS, *[END] * padding]])


def payload(release: Release, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What AllenAct (onpolicy_sync/engine.py checkpoint_save) or Lightning writes around the parameters."""
    if release.container == LIGHTNING:
        state = {f"model.{name}": one for name, one in tensors.items()}
        return {"epoch": 3, "global_step": 50_000, "train_steps": 50_000, "state_dict": state, "optimizer_states": []}
    stages = {"stage_info_list": [{"steps_taken_in_stage": 7}], "rollout_count": 2}
    return {
        "model_state_dict": dict(tensors),
        "total_steps": 21_026_752,
        "optimizer_state_dict": {"state": {}, "param_groups": []},
        "training_pipeline_state_dict": stages,
        "trainer_seed": 123,
    }


def write_t5_tokenizer(path: Path) -> None:
    """A tokenizers file that is built as t5-small's is, with fewer words."""
    words = ["<pad>", "</s>", "<unk>", "go", "to", "a", "find", "mug"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(path))
