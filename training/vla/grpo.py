"""`ferry train grpo`: a policy learns from its own success (SimpleVLA-RL, Li et al. 2025, arXiv:2509.09674).

As in SimpleVLA-RL: rewards of 0 or 1, groups of 8 trajectories from one state of which 1 to 7 must succeed (dynamic
sampling), a higher temperature in the rollout, the ratio clipped to [0.8, 1.28] (clip-higher), no critic, no KL term.

Different, because this runs on two cores: simulators live in worker processes across steps, trajectories end when they
succeed, log-probabilities are kept from sampling (and compared with those of the first minibatch), states for training
and evaluation are disjoint, and the learning rate warms up and falls.

A step, top to bottom: `run` -> `_collect` (rollout.py plays groups until enough of them are mixed) -> `_update` ->
`_optimiser_step` on each minibatch -> `_loss` (grpo_loss.py: pure functions) -> `_evaluate`. Below them: checkpoints.
"""

from __future__ import annotations

import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from robots.processes.text import counted
from simulation.errors import WorkersLost
from simulation.worker_pool import WorkerPool
from training.closed_loop.evaluate import wilson
from training.errors import DeadGroups, Diverged, RolloutMismatch
from training.rl.ppo_loss import kl_estimate
from training.runtime.checkpoint import expect_new, expect_options, file_sha256, load, save
from training.runtime.commit import git_commit
from training.runtime.distributed import alone, device_of
from training.runtime.interrupt import stop_request
from training.runtime.learning_rate import lr_factor
from training.runtime.progress import Bar
from training.runtime.weights import arrays
from training.vla.batch import Batch, minibatches
from training.vla.checkpoint import KIND, policy_from, policy_payload
from training.vla.group_health import GroupHealth, Tried
from training.vla.grpo_loss import clipped, is_mixed, row_weights, token_log_p, token_losses
from training.vla.grpo_options import FORMER_NAMES, GrpoOptions, check
from training.vla.held_out import held_out_successes
from training.vla.rollout import RolloutJob, RolloutWorker, Trajectory
from training.vla.world import Tasks

AGREEMENT = 1e-3
"""Largest difference [nat] between a log-probability of sampling and the same one computed again, in a batch."""

Pool = WorkerPool[RolloutJob, list[Trajectory]]
Groups = list[list[Trajectory]]


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train grpo`."""
    options = tyro.cli(GrpoOptions, args=list(argv), prog="ferry train grpo")
    from training.vla.libero_tasks import LiberoTasks  # with the options known: it needs the extra `libero`

    torch.set_num_threads(options.threads)
    if not options.resume:
        expect_new(options.last)
    command = shlex.join(["ferry", "train", "grpo", *argv])
    trainer = Trainer(options, partial(LiberoTasks, options.tasks), command)
    if options.resume:
        trainer.resume()
    with stop_request() as stopping:
        trainer.run(stopping)
    print(f"{trainer.last}: {counted(trainer.step, 'step')}, {trainer.trajectories} trajectories")
    return 0


class Trainer:
    """GRPO, step by step; `payload` holds everything that a resumed run needs."""

    def __init__(self, options: GrpoOptions, tasks: Callable[[int], Tasks], command: str = "") -> None:
        alone()
        self.options, self.command, self.commit = options, command, git_commit()
        self.device = device_of(options.device)
        torch.backends.cudnn.allow_tf32 = False  # its convolutions would disagree with the workers' by more than 1e-3
        source = self.last if options.resume else options.source
        self.start, self.start_sha256 = str(source), file_sha256(source)
        self.policy = policy_from(load(source, KIND), source).to(self.device)
        check(options, self.policy.config.chunk)
        self.tasks = tasks(self.policy.config.image_size)
        self.optimiser = torch.optim.AdamW(self.policy.parameters(), options.lr, weight_decay=options.weight_decay)
        self.average = self._copied() if options.ema else None
        self.health = GroupHealth()
        self.step = self.updates = self.trajectories = 0
        self.evaluations: list[dict[str, float]] = []
        self.shown: dict[str, str] = {}

    @property
    def last(self) -> Path:
        """Checkpoint that a resumed run continues from."""
        return self.options.last

    def run(self, stopping: Callable[[], bool] = lambda: False, steps: int | None = None) -> None:
        """Trains to the end, for `steps` steps, or until `stopping()`: then KeyboardInterrupt after a checkpoint.

        Raises:
            DeadGroups: no group was mixed in many steps.
            WorkersLost: simulators die faster than they can be replaced; last.pt holds every step until then.
            Diverged, RolloutMismatch: last.pt is from before.
        """
        end = self.options.steps if steps is None else min(self.options.steps, self.step + steps)
        make, folder = partial(RolloutWorker, self.policy.config, self.tasks), self.last.parent / "tensorboard"
        with (
            SummaryWriter(str(folder), purge_step=self.step) as board,
            Bar("grpo", self.options.steps, "steps", self.step) as bar,
            WorkerPool(make, self.options.workers, stall_s=self.options.stall_s) as pool,
        ):
            try:
                self._loop(pool, board, bar, stopping, end)
            except (WorkersLost, DeadGroups):
                self.save()  # of whole steps: neither comes during an update
                raise
            self.save()
        if stopping():
            raise KeyboardInterrupt

    def _loop(self, pool: Pool, board: SummaryWriter, bar: Bar, stopping: Callable[[], bool], end: int) -> None:
        """Makes steps until `end` or `stopping()`."""
        started_s = saved_s = time.monotonic()
        before = self.trajectories
        self._evaluate(pool, board, bar, stopping)
        while self.step < end and not stopping():
            groups, tried = self.collect_rollouts(pool, bar, stopping)
            if stopping():
                return
            metrics = self.update_policy(groups) if groups else {}
            self._finish(groups, tried, metrics, board, bar)
            rate = (self.trajectories - before) / (time.monotonic() - started_s) * 3600
            self.shown = {"success": f"{metrics_of(tried)['success']:.0%}", "kept": f"{len(groups)}/{len(tried)}"}
            self.shown["rate"] = f"{rate:,.0f} trajectories/h"
            bar.note(**self.shown)
            if time.monotonic() - saved_s > self.options.save_every_s:
                self.save()
                saved_s = time.monotonic()
            self._evaluate(pool, board, bar, stopping)

    def collect_rollouts(self, pool: Pool, bar: Bar, stopping: Callable[[], bool]) -> tuple[Groups, Groups]:
        """Plays groups until enough are mixed; returns these, and all up to the last of them, in the order of jobs.

        Which groups these are does not depend on which worker was faster: jobs begin in their order, none begins once
        enough mixed ones have ended, and those in between are waited for.
        """
        options, done = self.options, dict[int, list[Trajectory]]()

        def useful(group: list[Trajectory]) -> bool:
            return not options.dynamic_sampling or is_mixed([one.success for one in group])

        def found(numbers: Sequence[int]) -> list[int]:
            return [number for number in numbers if useful(done[number])][: options.groups]

        def complete() -> bool:
            first = next(number for number in range(len(done) + 1) if number not in done)
            return len(found(range(first))) == options.groups

        run = pool.run(
            self.jobs(), keep_on=lambda: len(found(sorted(done))) < options.groups, give_up=stopping, enough=complete
        )
        for job, trajectories in run:
            done[job.number] = trajectories
            bar.note(**self.shown, now=f"{len(found(sorted(done)))} of {options.groups} groups, {len(done)} played")
        kept = found(sorted(done))
        tried = [number for number in sorted(done) if len(kept) < options.groups or number <= kept[-1]]
        return [done[number] for number in kept], [done[number] for number in tried]

    def jobs(self) -> Iterator[RolloutJob]:
        """Yields this step's jobs; their states and samples depend on the seed, the step and the number alone."""
        options, weights = self.options, self._weights(self.policy.state_dict())
        first = int(np.random.default_rng([options.seed, 1, self.step]).integers(len(self.tasks.names)))
        for number in range(options.groups * options.max_tries):
            samples = tuple((options.seed, 3, self.step, number, sample) for sample in range(options.group_size))
            yield RolloutJob(
                number, (first + number) % len(self.tasks.names), (options.seed, 2, self.step, number), samples,
                options.temperature, options.rows, weights,
            )  # fmt: skip

    def update_policy(self, groups: Groups) -> dict[str, float]:
        """Makes the optimiser steps of one step; returns the means of their metrics."""
        options, metrics = self.options, defaultdict[str, list[float]](list)
        batch, rng = Batch.of(groups, self.policy), np.random.default_rng([options.seed, 4, self.step])
        for epoch in range(options.epochs):
            for chosen in minibatches(rng, sum(map(len, groups)), options.minibatch):
                check_agreement = epoch == 0 and not metrics
                for name, value in self._optimiser_step(batch.of_trajectories(chosen), check_agreement).items():
                    metrics[name].append(value)
        return {name: float(np.mean(values)) for name, values in metrics.items()}

    def _optimiser_step(self, minibatch: Batch, check_agreement: bool) -> dict[str, float]:
        weights = row_weights(minibatch.executed, minibatch.owner, self.options.aggregation)
        self.optimiser.zero_grad(set_to_none=True)
        metrics = defaultdict[str, float](float)
        for part, rows in minibatch.parts(self.options.microbatch):
            loss, some = self._loss(part.to(self.device), weights[rows].to(self.device), check_agreement)
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
            for name, value in some.items():
                metrics[name] += value
        norm = float(torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.options.max_grad_norm))
        if not np.isfinite([metrics["loss"], norm]).all():
            raise Diverged(self.updates, metrics["loss"], self.last, "loss or gradient")
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.optimiser.step()
        self.updates += 1
        self._add_to_average()
        return {**metrics, "gradient_norm": norm, "lr": self.learning_rate()}

    def _loss(self, part: Batch, weights: Tensor, check_agreement: bool) -> tuple[Tensor, dict[str, float]]:
        """Computes a part's share of the minibatch's loss, and of its metrics."""
        options = self.options
        logits = self.policy(part.images, part.words, part.proprio)
        log_p, entropy = token_log_p(logits, part.tokens, options.temperature)
        if check_agreement:
            expect_agreement(log_p.detach(), part.log_p, part.executed)
        advantages = part.advantages[:, None, None].expand_as(log_p)
        share = (weights / log_p.shape[-1])[..., None].expand_as(log_p)
        loss = (share * token_losses(log_p, part.log_p, advantages, options.clip_low, options.clip_high)).sum()
        with torch.no_grad():
            outside = clipped(log_p, part.log_p, advantages, options.clip_low, options.clip_high)
            metrics = {
                "loss": loss.item(),
                "entropy": (share * entropy).sum().item(),
                "clip_fraction": (share * outside).sum().item(),
                "kl": kl_estimate(log_p[part.executed], part.log_p[part.executed]).item() * weights.sum().item(),
            }
        return loss, metrics

    def learning_rate(self) -> float:
        """Learning rate: rises over the first optimiser steps, and falls along a cosine over the steps."""
        options = self.options
        rise = min(1.0, (self.updates + 1) / max(1, options.warmup))
        fall = options.last_lr + (1.0 - options.last_lr) * lr_factor("onecycle", options.steps, 0)(self.step)
        return options.lr * rise * fall

    def _finish(self, groups: Groups, tried: Groups, metrics: dict[str, float], board: SummaryWriter, bar: Bar) -> None:
        """Counts and logs a step. Raises DeadGroups."""
        self.step += 1
        self.trajectories += sum(map(len, tried))
        self.health.add(Tried.of([[one.success for one in group] for group in tried]))
        cells = {**metrics_of(tried), "kept": len(groups) / len(tried), **metrics}
        for name, value in cells.items():
            board.add_scalar(f"grpo/{name}", value, self.step)
        bar.write(f"step {self.step}: " + ", ".join(f"{name} {value:.4g}" for name, value in cells.items()))
        bar.advance()
        advice = self.health.advice()
        if advice is not None:
            bar.write(f"warning: {advice}")
        if self.health.is_dead:
            raise DeadGroups(f"step {self.step}: {advice}; {self.last} holds the policy")

    def _evaluate(self, pool: Pool, board: SummaryWriter, bar: Bar, stopping: Callable[[], bool]) -> None:
        """Measures success on held-out states at the start, every `evaluate_every` steps, and at the end."""
        options = self.options
        due = options.evaluate_every and (self.step % options.evaluate_every == 0 or self.step == options.steps)
        if not due or stopping() or any(one["step"] == self.step for one in self.evaluations):
            return
        weights, tasks = self._weights(self._policy_weights()), len(self.tasks.names)
        successes = held_out_successes(pool, weights, options.rows, options.evaluate_states, tasks, stopping)
        if stopping():
            return  # a resumed run does it again
        low, high = wilson(sum(successes), len(successes))
        success = float(np.mean(successes))
        self.evaluations.append({"step": self.step, "trajectories": self.trajectories, "success": success,
                                 "low": low, "high": high, "states": len(successes)})  # fmt: skip
        board.add_scalar("held_out/success", success, self.step)
        found = f"{success:.1%} [{low:.1%}, {high:.1%}] of {len(successes)} held-out states"
        bar.write(f"step {self.step}, {self.trajectories} trajectories: {found}")
        self.save()

    def resume(self) -> None:
        """Restores the state in last.pt: weights, optimiser and progress; the next groups follow from these.

        Raises:
            CheckpointError: last.pt is missing, or was made with other options.
        """
        payload = load(self.last, KIND)
        wanted, defaults = self.options.comparable(), type(self.options)().comparable()
        expect_options(self.last, payload["training"], wanted, defaults, renamed=FORMER_NAMES)
        self.start, self.start_sha256 = payload["start"], payload["start_sha256"]
        self.policy.load_state_dict(payload["learner"])
        if self.average is not None:
            self.average = {name: value.to(self.device) for name, value in payload["weights"].items()}
        self.optimiser.load_state_dict(payload["optimiser"])
        self.step, self.updates, self.trajectories = (payload[name] for name in ("step", "updates", "trajectories"))
        self.health, self.evaluations = GroupHealth(payload["groups"]), list(payload["evaluations"])

    def payload(self) -> dict[str, Any]:
        """Returns the checkpoint's content; the policy in it is the average where there is one."""
        return {
            **policy_payload(self.policy),
            "weights": self._policy_weights(),
            "learner": self.policy.state_dict(),
            "algorithm": "GRPO (SimpleVLA-RL)",
            "training": self.options.comparable(),
            "start": self.start,
            "start_sha256": self.start_sha256,
            "seed": self.options.seed,
            "git_commit": self.commit,
            "command": self.command,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "updates": self.updates,
            "trajectories": self.trajectories,
            "groups": self.health.state,
            "evaluations": self.evaluations,
        }

    def save(self) -> None:
        """Writes last.pt."""
        save(self.last, KIND, self.payload())

    def _policy_weights(self) -> dict[str, Tensor]:
        return self.policy.state_dict() if self.average is None else self.average

    def _copied(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.policy.state_dict().items()}

    def _add_to_average(self) -> None:
        if self.average is not None:
            for name, value in self.policy.state_dict().items():
                self.average[name].lerp_(value, 1.0 - self.options.ema)

    @staticmethod
    def _weights(state: dict[str, Tensor]) -> dict[str, Any]:
        return arrays({name: value.cpu() for name, value in state.items()})


def expect_agreement(log_p: Tensor, sampled: Tensor, executed: Tensor) -> None:
    """Compares log-probabilities (M, chunk, D) of executed rows with those kept from sampling, before any update.

    Raises:
        RolloutMismatch: they differ: another temperature, other weights, or a network that acts otherwise in training.
    """
    worst = float((log_p - sampled).abs()[executed].max())
    if not worst <= AGREEMENT:
        raise RolloutMismatch(
            f"log-probabilities of sampled tokens: got a difference of {worst:g} nat, expected at most {AGREEMENT:g}; "
            "nothing was trained in this step"
        )


def metrics_of(groups: Groups) -> dict[str, float]:
    """Averages the outcomes of trajectories."""
    trajectories = [trajectory for group in groups for trajectory in group]
    return {
        "success": float(np.mean([one.success for one in trajectories])),
        "actions": float(np.mean([one.actions for one in trajectories])),
    }
