"""Trajectories that a policy plays in worker processes, in groups from one state.

A trajectory is a function of the job alone (its state, its random numbers and the weights), so a resumed run plays the
same ones, and a worker that dies or hangs is replaced and its job run again. It ends when the task is done: no action
and no image comes after. Log-probabilities are those of sampling; nothing is computed a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from simulation.demonstrations.world_steps import WorldSteps
from simulation.worker_pool import Report
from training.errors import CheckpointError
from training.runtime.weights import Weights, tensors
from training.vla.policy.checkpoint import bare_policy
from training.vla.policy.compute_options import Precision
from training.vla.policy.config import VlaConfig
from training.vla.policy.model import VlaPolicy
from training.vla.policy.placement import round_weights
from training.vla.rollout.world import Seen, Tasks, World


@dataclass(frozen=True)
class RolloutJob:
    """One group of trajectories from one state.

    Attributes:
        number: of the job, for its order.
        task: number in the `Tasks`.
        state: seed of the random numbers that the state is drawn from.
        samples: seed of each trajectory's random numbers.
        temperature: of sampling; 0 for the most probable tokens.
        rows: actions executed of a chunk before the policy looks again.
        weights: of the policy, without those that are frozen.
        held_out: whether the state is one of those that are not trained on.
        keep: whether trajectories hold what was seen and chosen; an evaluation needs their outcome alone.
    """

    number: int
    task: int
    state: tuple[int, ...]
    samples: tuple[tuple[int, ...], ...]
    temperature: float
    rows: int
    weights: Weights = field(repr=False)
    held_out: bool = False
    keep: bool = True


@dataclass(frozen=True)
class Trajectory:
    """C chunks that were sampled and executed one after the other.

    Attributes:
        instruction: given to the policy.
        images: (C, S, S, 3) uint8, before each chunk.
        proprio: (C, P) float32.
        tokens: (C, chunk, D) uint8.
        log_p: (C, chunk, D) float32, log-probability of each token when it was chosen, at the temperature of sampling.
        executed: (C, chunk) bool; False for rows of a chunk that came after the end, or that are never executed.
        actions: number of actions executed.
        success: whether the task was done.
    """

    instruction: str
    images: npt.NDArray[np.uint8]
    proprio: npt.NDArray[np.float32]
    tokens: npt.NDArray[np.uint8]
    log_p: npt.NDArray[np.float32]
    executed: npt.NDArray[np.bool_]
    actions: int
    success: bool


class RolloutWorker:
    """Plays jobs in one process, which keeps the policy and the tasks' worlds.

    Args:
        config: of the policy.
        tasks: what is played.
        frozen: weights that no job brings, because the training does not change them (those beside adapters).
        precision: in which the policy is trained: what acts is what is trained.
    """

    def __init__(
        self, config: VlaConfig, tasks: Tasks, frozen: Weights | None = None, precision: Precision = "fp32"
    ) -> None:
        torch.set_num_threads(1)
        self.policy, self.tasks, self._frozen = bare_policy(config).eval(), tasks, set(frozen or {})
        self.policy.precision = precision
        round_weights(self.policy)
        self.policy.load_state_dict(tensors(frozen or {}), strict=False)

    def __call__(self, job: RolloutJob, report: Report) -> list[Trajectory]:
        """Plays the trajectories of a job; reports actions."""
        missing, unknown = self.policy.load_state_dict(tensors(job.weights), strict=False)
        if unknown or set(missing) != self._frozen:
            raise CheckpointError(f"weights of a job: got {unknown} too many, without {missing}, expected the others")
        state = self.tasks.state(job.task, np.random.default_rng(job.state), job.held_out)
        return play_group(self.tasks.world(job.task), state, self.policy, job, report)


def play_group(
    world: World, state: npt.NDArray[np.float64], policy: VlaPolicy, job: RolloutJob, report: Report
) -> list[Trajectory]:
    """Plays a job's trajectories from one state, which is observed once."""
    player = _Player(world, policy, job, report)
    return [player.play(state, np.random.default_rng(seed)) for seed in job.samples]


class _Player:
    """Plays one trajectory after another from the same state of a world."""

    def __init__(self, world: World, policy: VlaPolicy, job: RolloutJob, report: Report) -> None:
        self.world, self.policy, self.job, self.report = world, policy, job, report
        self.words = policy.words([world.instruction])
        self.first: tuple[Seen, torch.Tensor] | None = None

    def play(self, state: npt.NDArray[np.float64], rng: np.random.Generator) -> Trajectory:
        """Plays one trajectory."""
        steps = WorldSteps(self.world, state)
        chunks: list[tuple[Seen, npt.NDArray[np.uint8], npt.NDArray[np.float32], int]] = []
        for number in steps:
            seen, logits = self._look(first=number == 0)
            tokens, log_p = choose(logits, self.job.temperature, rng)
            executed = steps.act_rows(self.policy.tokenizer.decode(tokens)[: self.job.rows])
            if self.job.keep or not chunks:
                chunks.append((seen, tokens, log_p, executed))
            self.report(executed)
        rows = np.arange(self.policy.config.chunk)
        return Trajectory(
            instruction=self.world.instruction,
            images=np.stack([seen.image for seen, *_ in chunks]),
            proprio=np.stack([np.asarray(seen.proprio, np.float32) for seen, *_ in chunks]),
            tokens=np.stack([tokens for _, tokens, *_ in chunks]),
            log_p=np.stack([log_p for _, _, log_p, _ in chunks]),
            executed=np.stack([rows < executed for *_, executed in chunks]),
            actions=steps.count,
            success=steps.success,
        )

    def _look(self, first: bool) -> tuple[Seen, torch.Tensor]:
        """Returns an observation and its logits; the first is the same in all trajectories of a group."""
        if first and self.first is not None:
            return self.first
        seen = self.world.observe()
        with torch.inference_mode():
            image = torch.from_numpy(np.ascontiguousarray(seen.image))[None]
            logits = self.policy(image, self.words, self.policy.proprio(np.asarray(seen.proprio)[None]))[0]
        if first:
            self.first = (seen, logits)
        return seen, logits


def choose(
    logits: torch.Tensor, temperature: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Samples tokens (rows, D) from logits (rows, D, bins) / temperature, with their log-probabilities.

    A temperature of 0 takes the most probable token of each; the log-probabilities are then those at temperature 1.
    """
    log_p: npt.NDArray[np.float32] = functional.log_softmax(logits / (temperature or 1.0), dim=-1).numpy()
    noise = rng.gumbel(size=log_p.shape) if temperature else 0.0  # the largest of log p + Gumbel noise is a sample of p
    tokens = (log_p + noise).argmax(-1)
    return tokens.astype(np.uint8), np.take_along_axis(log_p, tokens[..., None], -1)[..., 0]
