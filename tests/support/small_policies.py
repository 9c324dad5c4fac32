"""A policy small enough for tests, runs of it, and episodes made by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from simulation.episode import EpisodeSpec
from training.data.demonstration import Demonstration
from training.data.features import encoder_path
from training.data.shards import shard_path, write_shard
from training.models import config
from training.models.config import ImageConfig, PolicyConfig, TextConfig
from training.models.image_encoder import image_encoder
from training.models.spoc import SpocPolicy
from training.models.tokenizer import instructions
from training.runtime.checkpoint import new_policy, save

TINY = PolicyConfig(
    name="tiny",
    image=ImageConfig("cnn", 28, 48, rows=2, columns=2, token_width=config.MINI_TOKEN_WIDTH),
    text=TextConfig("words", width=8),
    width=32,
    fusion_layers=1,
    fusion_heads=2,
    fusion_ffn=32,
    decoder_layers=1,
    decoder_heads=2,
    decoder_ffn=32,
    goal_gate=True,
    grid_position=True,
    summary=4,
    previous_tokens=23,
    horizon=60,
)
"""`mini` with smaller numbers: every part of it is there."""

SPOC_LIKE = replace(
    TINY,
    name="spoc_like",
    image=ImageConfig("dino", 28, 45, rows=2, columns=2, token_width=24, layers=1, heads=2),
    text=TextConfig("t5", width=16, layers=1, heads=2, ffn=16),
    fusion_layers=3,
    decoder_layers=2,
    goal_gate=False,
    grid_position=False,
    summary=0,
    previous_tokens=22,
)
"""`small_3` with smaller numbers and random encoders."""

_TEXTS = instructions()
_MAIN = """
import sys
sys.path.insert(0, {support!r})
from small_policies import TINY
from training.models import config
config.PRESETS["tiny"] = TINY
import torch
torch.set_num_threads(1)
from ferry.cli import main
sys.exit(main(sys.argv[1:]))
"""


def tiny_policy(seed: int = 0, shape: PolicyConfig = TINY) -> SpocPolicy:
    """An untrained tiny policy, ready to decide."""
    return new_policy(shape, seed).eval()


def random_tokens(shape: PolicyConfig, *batch: int, seed: int = 0) -> torch.Tensor:
    """Visual tokens (*batch, cameras, K, C)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, len(shape.cameras), shape.image.tokens, shape.image.token_width, generator=generator)


def learnable_episode(number: int, steps: int, seed: int = 0) -> Demonstration:
    """An episode in which what to do is written into the features: the first number of the label's own channel."""
    rng = np.random.default_rng([seed, number])
    episode = EpisodeSpec("object_nav", 100 + number, (0.0, 0.0, 0.0), "mug", _TEXTS[number % len(_TEXTS)], number)
    shown, previous = Demonstration(episode, success=True, collisions=number % 3), TINY.tokens.start
    for step in range(steps):
        action = "done" if step == steps - 1 else ("move_ahead", "rotate_left")[int(rng.integers(2))]
        tokens = rng.normal(0, 0.1, (2, TINY.image.tokens, TINY.image.token_width)).astype(np.float16)
        tokens[..., SPOC_ACTIONS.index(action)] += 3.0
        shown.features.append(tokens)
        shown.add(SPOC_ACTIONS.index(action), previous, np.zeros(1, np.float32))
        previous = SPOC_ACTIONS.index(action)
    return shown


def write_run(run: Path, *, shards: int = 3, episodes: int = 6, steps: tuple[int, int] = (3, 9)) -> Path:
    """A run's folder with an untrained encoder and shards of learnable episodes; returns it."""
    torch.manual_seed(0)
    encoder = image_encoder(TINY.image)
    save(encoder_path(run), "image_encoder", {"image": asdict(TINY.image), "weights": encoder.state_dict()})
    for shard in range(shards):
        lengths = np.random.default_rng(shard).integers(steps[0], steps[1], size=episodes).tolist()
        shown = [learnable_episode(shard * episodes + i, length) for i, length in enumerate(lengths)]
        write_shard(shard_path(run / "data", shard), shown)
    return run


def start_ferry(*words: str) -> subprocess.Popen[str]:
    """`ferry ...` in a process of its own that knows the size "tiny"."""
    code = _MAIN.format(support=str(Path(__file__).parent))
    line, root, pipe = [sys.executable, "-c", code, *words], Path(__file__).parents[2], subprocess.PIPE
    return subprocess.Popen(line, cwd=root, text=True, stdout=pipe, stderr=pipe)
