"""Pre-trains the eyes of `mini` on free labels of a simulator: where the Piper's fingertips and the objects are.

    python -m training.vla.sft.encoder --run runs/tabletop --tasks 0 2

From few demonstrations a network that is trained from scratch learns by heart where things were, not where they are.
Here images and places come from the simulator, without an action; `ferry train sft --start` goes on from there.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import tyro
from torch import Tensor, nn

from simulation.tabletop.expert import TabletopExpert
from simulation.tabletop.states import draw
from simulation.tabletop.task import TASKS
from simulation.tabletop.world import TabletopWorld
from training.runtime.checkpoint import expect_new, save
from training.runtime.commit import git_commit
from training.runtime.learning_rate import lr_factor
from training.runtime.options import plain
from training.runtime.progress import Bar
from training.vla.policy.checkpoint import KIND, policy_payload
from training.vla.policy.config import preset
from training.vla.policy.conv_network import ConvNetwork
from training.vla.policy.model import VlaPolicy, new_vla
from training.vla.sft.data import config_of, read_demonstrations

LABELS = 7
"""Fingertips (3,), the first object (2,) and the second (2,) [m], from the middle of the table."""

MIDDLE = np.array([0.35, 0.0, 0.1, 0.35, 0.0, 0.35, 0.0])
SCALE_M = 0.1
NOISE_M = 0.01
"""The expert is led astray by this, so that hands are seen everywhere."""

ON_TABLE_M = 0.3
"""An object further than this from the middle of the table, along x or y, was knocked off it: no label."""

LOOK_EVERY = 3
"""Actions from an image to the next."""

MAX_GRAD_NORM = 1.0
"""Gradients are clipped to this norm."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EncoderOptions:
    """Trains the visual part of a policy to tell where things are."""

    run: Path = Path("runs/tabletop")
    """Folder of the run; its demonstrations give words, scales and sizes."""
    name: str = "encoder"
    """Folder in the run for the checkpoint."""
    data: str = "demonstrations"
    """Folder of the run with demonstrations."""
    tasks: tuple[int, ...] = ()
    """Numbers of the tasks; all of them by default."""
    episodes: int = 150
    """Of each task, of which images are taken."""
    randomise: float = 0.0
    """Fraction of the episodes with other colours, light, camera, mass and friction."""
    proprio: bool = False
    """Let the policy see the fingertips' pose and the aperture."""
    film: bool = False
    """Let the instruction scale and shift the visual features."""
    updates: int = 600
    batch: int = 32
    lr: float = 1e-3
    """Peak learning rate; it rises, then falls to 0 (OneCycle)."""
    seed: int = 0
    """Of states, noise and weights."""

    @property
    def last(self) -> Path:
        """The checkpoint."""
        return self.run / self.name / "last.pt"


def labelled(options: EncoderOptions, size: int) -> tuple[npt.NDArray[np.uint8], Floats, npt.NDArray[np.bool_]]:
    """Makes images (N, S, S, 3), labels (N, 7) and which of them there are, from disturbed experts' episodes."""
    images, labels, known = [], [], []
    chosen = options.tasks or range(len(TASKS))
    with Bar("images", len(chosen) * options.episodes, "episodes") as bar:
        for index in chosen:
            for image, label, there in looks(options, index, size, bar):
                images.append(image)
                labels.append(label)
                known.append(there)
    order = np.random.default_rng(options.seed).permutation(len(images))
    return np.stack(images)[order], np.array(labels, np.float32)[order], np.array(known)[order]


def looks(
    options: EncoderOptions, index: int, size: int, bar: Bar
) -> Iterator[tuple[npt.NDArray[np.uint8], Floats, npt.NDArray[np.bool_]]]:
    """Yields an image of a task, its label and which of its numbers there are, several of each episode."""
    task = list(TASKS.values())[index]
    world = TabletopWorld(task, size)
    expert = TabletopExpert(world)
    for number in range(options.episodes):
        rng = np.random.default_rng([options.seed, 7, index, number])
        world.reset(draw(task, rng, held_out=False, randomise=options.randomise))
        expert.reset()
        for step in range(task.max_actions // 2):
            if step % LOOK_EVERY == number % LOOK_EVERY:
                places = [world.scene.place(name)[:2] for name in task.objects]
                label = np.concatenate([world.scene.tip, *places, np.zeros(2 * (2 - len(places)))]) - MIDDLE
                there = (np.arange(LABELS) < 3 + 2 * len(places)) & (np.abs(label) < ON_TABLE_M)
                yield world.observe().image, np.where(there, label / SCALE_M, 0.0), there
            action = expert.action()
            action[:3] += rng.normal(0.0, NOISE_M, 3)
            world.step(action.clip(-0.05, 1.0))
        bar.advance()
    world.close()


class PlaceHeads(nn.Module):
    """Tells the places from the grid of visual tokens and from the keypoints, each by itself."""

    def __init__(self, policy: VlaPolicy) -> None:
        super().__init__()
        assert isinstance(policy.network, ConvNetwork)
        self.network = policy.network
        width = policy.config.width
        self.grid, self.points = nn.Linear(16 * width, LABELS), nn.Linear(width, LABELS)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, S, S, 3) to places (2, B, 7)."""
        seen, points = self.network.look(images)
        return torch.stack([self.grid(self.network.visual(seen).flatten(1)), self.points(points)])


def train(options: EncoderOptions, command: str = "") -> float:
    """Trains and writes the checkpoint; returns the mean error on the last tenth of images [m], which it never saw."""
    demonstrations = read_demonstrations([options.run / options.data], tasks=options.tasks)
    base = config_of(demonstrations, proprio=options.proprio)
    policy = new_vla(replace(preset("mini", base), film=options.film, keypoints=True), options.seed)
    images, labels, known = labelled(options, base.image_size)
    heads, rng = PlaceHeads(policy), np.random.default_rng(options.seed)
    used = len(images) * 9 // 10
    optimiser = torch.optim.AdamW(heads.parameters(), options.lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lr_factor("onecycle", options.updates, max(1, options.updates // 10))
    )
    with Bar("encoder", options.updates, "updates") as bar:
        for _ in range(options.updates):
            rows = rng.integers(0, used, options.batch)
            loss = error(heads, images[rows], labels[rows], known[rows]).square().mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
            torch.nn.utils.clip_grad_norm_(heads.parameters(), MAX_GRAD_NORM)
            optimiser.step()
            schedule.step()
            bar.advance()
    with torch.inference_mode():
        off_m = SCALE_M * float(error(heads, images[used:], labels[used:], known[used:]).abs().mean())
    payload = {
        **policy_payload(policy),
        "algorithm": "pre-training on places",
        "training": {name: plain(value) for name, value in vars(options).items()},
        "seed": options.seed,
        "git_commit": git_commit(),
        "command": command,
        "updates": options.updates,
        "validation": {"error_m": off_m},
    }
    save(options.last, KIND, payload)
    return off_m


def error(heads: PlaceHeads, images: npt.NDArray[np.uint8], labels: Floats, known: npt.NDArray[np.bool_]) -> Tensor:
    """Differences of both heads to the labels that there are, in units of `SCALE_M`."""
    wanted, there = torch.from_numpy(labels), torch.from_numpy(known)
    off: Tensor = heads(torch.from_numpy(images)) - wanted
    return off[there.expand(2, -1, -1)]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    options = tyro.cli(EncoderOptions, args=argv, description=__doc__)
    torch.set_num_threads(1)
    expect_new(options.last)
    words = sys.argv[1:] if argv is None else argv
    off_m = train(options, shlex.join(["python", "-m", "training.vla.sft.encoder", *words]))
    print(f"{options.last}: places off by {1000 * off_m:.1f} mm on average")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
