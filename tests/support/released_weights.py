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
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small_policies import SPOC_LIKE
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor

from training.models.siglip import CONTEXT, END
from training.released.main import ImportOptions
from training.released.parts import Shape
from training.released.releases import ALLENACT, IMAGES, LIGHTNING, Release
from training.released.tables import image_table
from training.released.weights import DINO_FILE, TOKENIZER_FILE

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


def images() -> np.ndarray:
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


def small(release: Release) -> Release:
    """The same release with few and narrow layers."""
    own = release.config
    image = replace(SPOC_LIKE.image, kind=own.image.kind, position_offset=own.image.position_offset)
    text = replace(SPOC_LIKE.text, kind=own.text.kind)
    return replace(release, config=replace(SPOC_LIKE, image=image, text=text, decoder=own.decoder, fusion_layers=1))


def shapes(release: Release) -> dict[str, Shape]:
    """The shape of every parameter that is in a released file."""
    found = {name: place.shape for name, place in release.table().items()}
    if release.container != ALLENACT:
        return found
    width = release.config.width
    found |= {"critic.fc.weight": (1, width), "critic.fc.bias": (1,)}
    return found | {f"critic_tsfm.{name}": shape for name, shape in found.items()}


def filled(release: Release) -> dict[str, Tensor]:
    """By the recipe; the critic's, which nobody reads, are zeros that take no room."""
    needed = parameters({name: place.shape for name, place in release.table().items()})
    rest = {name: torch.zeros(()).expand(shape) for name, shape in shapes(release).items() if name not in needed}
    return needed | rest


def write_files(release: Release, folder: Path, tensors: Mapping[str, Tensor] | None = None) -> ImportOptions:
    """A released file and what it needs beside it; returns the options that import it."""
    weights = folder / "weights"
    weights.mkdir(exist_ok=True)
    write_t5_tokenizer(weights / TOKENIZER_FILE)
    if not release.has_images:
        places = image_table(release.config).items()
        torch.save(parameters({name: place.shape for name, place in places}), weights / DINO_FILE)
    file = folder / f"{release.name}.pt"
    torch.save(payload(release, filled(release) if tensors is None else tensors), file)
    family = "flare" if release.container == ALLENACT else "spoc"
    return ImportOptions(family, file, folder / "bundle", weights=weights)  # type: ignore[arg-type]  # one of two words
