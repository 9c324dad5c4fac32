"""What PPO and SAC have in common: they fine-tune a clone, evaluate it as they go, and are resumed from a checkpoint.

As in FLaRe, the image encoder stays frozen, and dropout is off, so that the policy that is trained is the one that
acted. Started by torchrun, several ranks train together (DD-PPO, Wijmans et al. 2020, arXiv:1911.00357): rank 0 alone
evaluates and writes checkpoints.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from robots.binding import bind
from simulation.episode import check_looks
from simulation.errors import WorkersLost
from simulation.task_registry import check_tasks
from simulation.twins.registry import make_twin
from training.bundles.start import load_policy, start_sha256
from training.closed_loop.evaluate import EvaluateOptions, evaluate
from training.data.packing import Batch
from training.errors import CheckpointError, RanksLost, RewardError
from training.models.spoc import SpocPolicy
from training.models.tokenizer import tokenizer_for
from training.rl.actor_critic import ActorCritic, frozen_weights, trained_weights
from training.rl.log import Log, opened
from training.rl.options import FORMER_NAMES, RlOptions
from training.rl.reward import check_shaping
from training.rl.rollout import RolloutCollector, RolloutJob, RolloutWorker, jobs_of, twin_options
from training.rl.rollout_buffer import RolloutBuffer
from training.runtime.checkpoint import (
    expect_new,
    expect_options,
    load,
    new_policy,
    policy_from,
    policy_payload,
    save,
)
from training.runtime.commit import git_commit
from training.runtime.distributed import Ranks, alone, device_of
from training.runtime.interrupt import stop_request
from training.runtime.weights import Weights, arrays

WINDOW = 500
"""Episodes of the running success rate."""


class RlTrainer:
    """Networks, rollouts, evaluations and checkpoints of a training; the algorithm is a subclass with a `run`.

    Attributes:
        model: the networks; its `actor` acts and is saved as the policy.
        groups: parameters whose gradients are clipped together; set by `optimise`.
        optimiser: Adam; set by `optimise`.
        update, steps: updates and decisions so far.
        best: best greedy success of an evaluation; -1 before the first.
        origin: the released checkpoint that the clone was imported from, or the bundle that it is; empty where it is a
            checkpoint that was trained here.
    """

    options: RlOptions
    algorithm = ""

    def __init__(self, options: RlOptions, command: str = "", ranks: Ranks | None = None) -> None:
        self.options, self.command, self.commit = options, command, git_commit()
        self.folder, self.last = options.folder, options.last
        self.ranks, self.device = ranks or alone(), device_of(options.device)
        options.check(self.ranks.count)
        self.clone, initial = str(options.source), self.last if options.resume else options.source
        source = self.ranks.from_first(lambda: load_policy(initial))
        self.clone_sha256 = "" if options.resume else self.ranks.from_first(lambda: start_sha256(initial))
        policy = policy_from(source, initial)
        if options.from_scratch:
            policy.load_state_dict(trained_weights(new_policy(policy.config, options.seed)), strict=False)
        self.model = self.make_networks(policy).to(self.device)
        critic = self._critic_weights()
        if critic.keys() == source.get("critic", {}).keys() and not options.from_scratch:
            self.model.load_state_dict(source["critic"], strict=False)
        self.origin = source.get("origin", {})
        self.config, self.tokenizer = policy.config, tokenizer_for(policy.config.text)
        body = make_twin(options.play.body, twin_options(self.config, options.play)).spec
        check_tasks(options.play.task, body)
        check_looks(options.play.looks)
        check_shaping(options.reward.shaping, options.play.task)
        self.mask = torch.from_numpy(bind(self.config.spec(), body).mask).to(self.device)
        self.update = self.steps = self.evaluated = 0
        self.best, self.window = -1.0, deque[bool](maxlen=WINDOW)
        self._saved_s = time.monotonic()

    def make_networks(self, policy: SpocPolicy) -> ActorCritic:
        """Makes the networks from the policy to start from."""
        return ActorCritic(policy, seed=self.options.seed)

    def optimise(self, *groups: tuple[Sequence[nn.Parameter], float]) -> None:
        """Makes the optimiser of groups of parameters, each with its learning rate."""
        self.groups = [list(parameters) for parameters, _ in groups]
        rated = [{"params": parameters, "lr": rate} for parameters, (_, rate) in zip(self.groups, groups)]
        self.optimiser = torch.optim.Adam(rated, fused=True)

    def run(self, stopping: Callable[[], bool] = lambda: False, updates: int | None = None) -> None:
        """Trains to the end, for `updates` updates, or until `stopping()`; see the algorithms."""
        raise NotImplementedError

    @contextmanager
    def update_loop(self, stopping: Callable[[], bool], updates: int | None) -> Iterator[UpdateLoop]:
        """Opens what a `run` needs, its log and its workers; evaluates first, and writes last.pt at the end.

        An exception in the context ends it without last.pt.

        Raises:
            KeyboardInterrupt: `stopping()` has ended the loop, and last.pt is written.
        """
        end = None if updates is None else self.update + updates
        with (
            opened(self.folder, self.options.steps, self.steps, self.ranks.first) as log,
            RolloutCollector(self.make_worker(), self.options, self.ranks, log.advance) as collector,
        ):
            self.evaluate(log, stopping)
            loop = UpdateLoop(self, log, collector, stopping, end)
            yield loop
            self.save("last.pt")
        if loop.stopped:
            raise KeyboardInterrupt

    # Rollouts

    def make_worker(self) -> Callable[[], RolloutWorker]:
        """Returns what makes a worker in its process."""
        return partial(RolloutWorker, self.config, self._frozen(), self.options.play, self.options.reward)

    def jobs(self) -> list[RolloutJob]:
        """Returns this update's rollout jobs."""
        return self.jobs_with(self.update, self.acting_weights())

    def jobs_with(self, update: int, weights: Weights) -> list[RolloutJob]:
        """Returns an update's rollout jobs, in which these weights of the actor act."""
        return jobs_of(self.options.seed, update, self.options.episodes, self.options.jobs, weights)

    def acting_weights(self) -> Weights:
        """Copies the actor's weights of now, without the frozen encoders'."""
        return arrays({name: value.cpu() for name, value in trained_weights(self.model.actor).items()})

    def collect_rollouts(self, collector: RolloutCollector, stopping: Callable[[], bool]) -> RolloutBuffer | None:
        """Has this update's episodes played; None where a rank was asked to stop.

        Raises:
            RewardError, WorkersLost, RanksLost: last.pt holds every update until now.
        """
        return self.saving(lambda: collector.collect(self.update, self.jobs(), stopping))

    def saving(self, collect: Callable[[], RolloutBuffer | None]) -> RolloutBuffer | None:
        """Returns what `collect` returns; writes last.pt where it fails, which holds every update until now."""
        try:
            return collect()
        except (RanksLost, RewardError, WorkersLost):
            self.save("last.pt")  # this update has not changed the weights yet
            raise

    def count(self, rollouts: RolloutBuffer) -> None:
        """Counts an update that was made from `rollouts`."""
        self.update += 1
        self.steps += rollouts.steps
        self.window.extend(rollouts.successes)

    def is_over(self, end: int | None) -> bool:
        """Whether the training has its steps, or has come to the update `end`."""
        return self.steps >= self.options.steps or self.update == end

    # Evaluations

    def evaluate(self, log: Log, stopping: Callable[[], bool]) -> None:
        """Measures success in validation houses every `evaluate_every` steps, on rank 0; the others wait."""
        every = self.options.evaluate_every
        due = 1 + self.steps // every if every else 0
        if self.evaluated < due:
            self.best, self.evaluated = self.ranks.from_first(lambda: self._validate(log, stopping, due))

    def _validate(self, log: Log, stopping: Callable[[], bool], due: int) -> tuple[float, int]:
        """Measures greedy and sampled success and saves the best greedy policy; returns the best and `evaluated`."""
        options, what = self.options, "again" if self.steps else "the clone first"
        self.save("last.pt")
        log.write(f"measuring {what}: {options.evaluate_episodes} episodes, greedy and sampled")
        evaluation = EvaluateOptions(
            self.last, options.evaluate_episodes, max_steps=options.evaluate_steps, workers=options.workers,
            task=options.play.task, body=options.play.body,
        )  # fmt: skip
        results = {name: evaluate(evaluation, name, stopping)["simulated"] for name in ("greedy", "sample")}
        if stopping():
            return self.best, self.evaluated  # a resumed run does it again
        success = {name: result["success"] for name, result in results.items()}
        log.curves("validation", success, self.steps)
        log.write(f"validation at {self.steps} steps: " + ", ".join(f"{k} {v:.1%}" for k, v in success.items()))
        self.evaluated = due
        if success["greedy"] > self.best:
            self.best = success["greedy"]
            self.save("best.pt")
        self.save("last.pt")
        return self.best, self.evaluated

    # Checkpoints

    def save(self, name: str) -> None:
        """Writes a checkpoint, on rank 0."""
        if self.ranks.first:
            save(self.folder / name, "policy", self.payload())
        self._saved_s = time.monotonic()

    def save_if_due(self) -> None:
        """Writes last.pt every `save_every_s`."""
        if time.monotonic() - self._saved_s > self.options.save_every_s:
            self.save("last.pt")

    def payload(self) -> dict[str, Any]:
        """Returns the checkpoint's content: everything that a resumed run needs; the policy in it is the actor."""
        return {
            **policy_payload(self.model.actor),
            "critic": self._critic_weights(),
            "algorithm": self.algorithm,
            "training": self.options.comparable(),
            "looks": self.options.play.looks,
            "clone": self.clone,
            "clone_sha256": self.clone_sha256,
            **({"origin": self.origin} if self.origin else {}),
            "seed": self.options.seed,
            "steps": self.steps,
            "git_commit": self.commit,
            "command": self.command,
            "optimiser": self.optimiser.state_dict(),
            "update": self.update,
            "evaluated": self.evaluated,
            "best": self.best,
            "window": [int(success) for success in self.window],
        }

    def resume(self) -> None:
        """Restores the state in last.pt: weights, optimiser and progress; the next episodes follow from these.

        The clone's file may be gone or moved by then.

        Raises:
            CheckpointError: last.pt is missing, or was made with other options or from another clone.
        """
        payload = self.ranks.from_first(lambda: load(self.last, "policy"))
        defaults = type(self.options)().comparable()
        expect_options(self.last, payload["training"], self.options.comparable(), defaults, renamed=FORMER_NAMES)
        self.clone, self.clone_sha256 = str(self.options.clone or payload["clone"]), payload.get("clone_sha256", "")
        if self.options.clone:
            self.ranks.from_first(self.expect_clone)
        self.model.actor.load_state_dict(payload["weights"])
        self.model.load_state_dict(payload["critic"], strict=False)
        self.optimiser.load_state_dict(payload["optimiser"])
        self.update, self.steps, self.evaluated = payload["update"], payload["steps"], payload["evaluated"]
        self.best, self.window = payload["best"], deque(map(bool, payload["window"]), maxlen=WINDOW)

    def expect_clone(self) -> None:
        """Raises CheckpointError where the clone's file is missing or is not the one that the run began with."""
        found = start_sha256(Path(self.clone))
        if self.clone_sha256 not in ("", found):
            expected = f"{self.clone_sha256:.12}, which the run in {self.folder} began with"
            raise CheckpointError(f"{self.clone}: got a clone with SHA-256 {found:.12}, expected {expected}")

    def _critic_weights(self) -> dict[str, Tensor]:
        state = self.model.state_dict()
        return {name: value for name, value in state.items() if not name.startswith("actor.")}

    def _frozen(self) -> Weights:
        return arrays({name: value.cpu() for name, value in frozen_weights(self.model.actor).items()})

    # Tensors

    def batch_to_device(self, batch: Batch) -> Batch:
        """Moves a batch to the device, its image tokens in the first layer's type, once for actor and critic."""
        tokens = batch.tokens.bfloat16() if self.options.bf16 else batch.tokens
        return replace(batch, tokens=tokens).to(self.device)

    def to_device(self, numbers: npt.NDArray[np.float32]) -> Tensor:
        """Moves numbers to the device."""
        return torch.from_numpy(numbers).to(self.device)

    def autocast(self) -> torch.autocast:
        """Matrix products in bfloat16, where the options say so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bf16)


@dataclass
class UpdateLoop:
    """Updates of one `run`, see `RlTrainer.update_loop`; `stopped` once it has ended because somebody asked for it."""

    trainer: RlTrainer
    log: Log
    collector: RolloutCollector
    stopping: Callable[[], bool]
    end: int | None
    stopped: bool = False

    def collect_rollouts(self, collect: Callable[[], RolloutBuffer | None] | None = None) -> Iterator[RolloutBuffer]:
        """Plays and yields the episodes of each update; `collect` plays one, else the policy of then does."""
        collect = collect or partial(self.trainer.collect_rollouts, self.collector, self.stopping)
        while not self.trainer.is_over(self.end):
            with self.log.timed("playing"):
                rollouts = collect()
            if rollouts is None:
                self.stopped = True
                return
            yield rollouts

    def finish(self, rollouts: RolloutBuffer, metrics: Mapping[str, float]) -> None:
        """Logs an update that was made from `rollouts`; saves and evaluates where that is due."""
        trainer = self.trainer
        self.log.update(trainer.update, trainer.steps, rollouts.outcomes, float(np.mean(trainer.window)), metrics)
        trainer.save_if_due()
        trainer.evaluate(self.log, self.stopping)


def train(trainer: RlTrainer) -> int:
    """Trains to the end or until Ctrl-C."""
    torch.set_num_threads(trainer.options.threads)
    if trainer.options.resume:
        trainer.resume()
    else:
        trainer.ranks.from_first(lambda: expect_new(trainer.last))
    with stop_request() as stopping:
        trainer.run(stopping)
    if trainer.ranks.first:
        best = f", best validation success {trainer.best:.1%} (best.pt)" if trainer.best >= 0 else ""
        print(f"{trainer.folder}: {trainer.steps} steps{best}")
    return 0
