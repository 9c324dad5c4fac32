"""`ferry train grpo`: a policy learns from its own success (SimpleVLA-RL, Li et al. 2025, arXiv:2509.09674).

As in SimpleVLA-RL: rewards of 0 or 1, groups of 8 trajectories from one state of which 1 to 7 must succeed (dynamic
sampling), a higher temperature in the rollout, the ratio clipped to [0.8, 1.28] (clip-higher), no critic, no KL term.

Different, because this runs on two cores: simulators live in worker processes across steps, trajectories end when they
succeed, log-probabilities are kept from sampling (and compared with those of the first minibatch), states for training
and evaluation are disjoint, and the learning rate warms up and falls.

A step, top to bottom: `run` -> `collect_rollouts` (group_rollouts.py: groups are played until enough of them are
mixed) -> `update_policy` -> `_optimiser_step` on each minibatch -> `_loss` (grpo_loss.py: pure functions) ->
`_evaluate`. Below them: checkpoints. Started by torchrun, each rank plays its part of the groups and computes the
gradients of what it played; gradients are summed, so that several ranks learn what one learns. With `--sharded` each
rank holds a part of the weights. Rank 0 logs and writes checkpoints.
"""

from __future__ import annotations

import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor

from robots.processes.text import counted
from simulation.errors import WorkersLost
from training.closed_loop.evaluate import wilson
from training.errors import DeadGroups, Diverged, RanksLost
from training.rl.log import Log, opened
from training.rl.ppo_loss import kl_estimate
from training.runtime.checkpoint import expect_new, expect_options, file_sha256, load, save
from training.runtime.commit import git_commit
from training.runtime.distributed import Ranks, alone, device_of, torchrun
from training.runtime.interrupt import stop_request
from training.runtime.learning_rate import lr_factor
from training.runtime.sharding import clip_gradients, load_optimiser, load_whole, local, part_of, whole, whole_optimiser
from training.runtime.weights import arrays
from training.vla.grpo.agreement import expect_agreement
from training.vla.grpo.batch import Batch, minibatches, nothing_seen
from training.vla.grpo.group_health import GroupHealth, Tried
from training.vla.grpo.group_rollouts import Pool, Result, Rollouts, collect
from training.vla.grpo.loss import clipped, minibatch_total, row_weights, token_log_p, token_losses
from training.vla.grpo.options import FORMER_NAMES, GrpoOptions, check, check_ranks
from training.vla.policy.checkpoint import KIND, policy_from
from training.vla.policy.placement import place
from training.vla.rollout.held_out import by_task, held_out_successes, with_interval
from training.vla.rollout.pool import simulators
from training.vla.rollout.rollout import RolloutJob, RolloutWorker
from training.vla.rollout.task_choice import named, tasks_of
from training.vla.rollout.world import Tasks

SHARES = ("loss", "entropy", "clip_fraction", "kl")
"""Metrics of which each rank has a share."""


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train grpo`."""
    options = tyro.cli(GrpoOptions, args=list(argv), prog="ferry train grpo")
    torch.set_num_threads(options.threads)
    options = replace(options, tasks=named(options.tasks))
    command = shlex.join(["ferry", "train", "grpo", *argv])
    with torchrun(device_of(options.device)) as ranks:
        if not options.resume:
            ranks.from_first(lambda: expect_new(options.last))
        trainer = Trainer(options, partial(tasks_of, options.tasks), command, ranks)
        if options.resume:
            trainer.resume()
        with stop_request() as stopping:
            trainer.run(stopping)
        if ranks.first:
            print(f"{trainer.last}: {counted(trainer.step, 'step')}, {trainer.trajectories} trajectories")
    return 0


class Trainer:
    """GRPO, step by step; `payload` holds everything that a resumed run needs."""

    def __init__(
        self, options: GrpoOptions, tasks: Callable[[int], Tasks], command: str = "", ranks: Ranks | None = None
    ) -> None:
        self.ranks = ranks or alone()
        self.options, self.command, self.commit = options, command, git_commit()
        check_ranks(options, self.ranks.count)
        self.device = device_of(options.device)
        torch.backends.cudnn.allow_tf32 = False  # its convolutions would disagree with the workers' by more than 1e-3
        source = self.last if options.resume else options.source
        self.start, self.start_sha256 = str(source), self.ranks.from_first(lambda: file_sha256(source))
        self.policy = policy_from(self.ranks.from_first(lambda: load(source, KIND)), source)
        if options.lora_rank and not options.resume:
            from training.vla.policy.lora import add_lora

            torch.manual_seed(options.seed)
            self.policy = add_lora(self.policy, options.lora_rank).eval()
        place(self.policy, options, self.device, self.ranks.count)
        check(options, self.policy.config.chunk)
        self.tasks = tasks(self.policy.config.image_size)
        self.trained = [parameter for parameter in self.policy.parameters() if parameter.requires_grad]
        self.frozen = {name for name, one in self.policy.named_parameters() if not one.requires_grad}
        self.optimiser = torch.optim.AdamW(self.trained, options.lr, weight_decay=options.weight_decay)
        self.average = self._copied() if options.ema else None
        self.health = GroupHealth()
        self.step = self.updates = self.trajectories = 0
        self.evaluations: list[dict[str, Any]] = []
        self.shown: dict[str, str] = {}

    @property
    def last(self) -> Path:
        """Checkpoint that a resumed run continues from."""
        return self.options.last

    def run(self, stopping: Callable[[], bool] = lambda: False, steps: int | None = None) -> None:
        """Trains to the end, for `steps` steps, or until `stopping()`: then KeyboardInterrupt after a checkpoint.

        Raises:
            DeadGroups: no group was mixed in many steps.
            ClusterError: `--ray`: Ray is missing, or its cluster cannot be reached.
            WorkersLost: simulators die faster than they can be replaced; last.pt holds every step until then.
            RanksLost: another rank ended; last.pt holds every step until then, or is from before.
            Diverged, RolloutMismatch: last.pt is from before.
        """
        end = self.options.steps if steps is None else min(self.options.steps, self.step + steps)
        state = self.policy.state_dict()
        frozen = self._weights(state, state.keys() - self.frozen)
        make = partial(RolloutWorker, self.policy.config, self.tasks, frozen, self.options.precision)
        with (
            opened(self.last.parent, self.options.steps, self.step, self.ranks.first, "grpo") as log,
            simulators(make, self.options) as pool,
        ):
            try:
                stopped = self._loop(pool, log, stopping, end)
            except DeadGroups:  # on all ranks at once, after a whole step
                self.save()
                raise
            except WorkersLost:  # not during an update
                self._save_alone()
                raise
            self.save()
        if stopped:
            raise KeyboardInterrupt

    def _loop(self, pool: Pool, log: Log, stopping: Callable[[], bool], end: int) -> bool:
        """Makes steps until `end` or a rank is `stopping()`; returns whether one is."""
        started_s = saved_s = time.monotonic()
        before = self.trajectories
        self._evaluate(pool, log, stopping)
        while self.step < end and not self.ranks.any(stopping()):
            rollouts = self.collect_rollouts(pool, log, stopping)
            if rollouts is None:
                return True
            self._finish(rollouts, self.update_policy(rollouts) if rollouts.kept else {}, log)
            rate, tried = (self.trajectories - before) / (time.monotonic() - started_s) * 3600, rollouts.tried
            self.shown = {"success": f"{metrics_of(tried)['success']:.0%}"}
            self.shown["kept"] = f"{len(rollouts.kept)}/{len(tried)}"
            self.shown["rate"] = f"{rate:,.0f} trajectories/h"
            log.note(**self.shown)
            if self.ranks.is_over(saved_s + self.options.save_every_s):
                self.save()
                saved_s = time.monotonic()
            self._evaluate(pool, log, stopping)
        return self.ranks.any(stopping())

    def collect_rollouts(self, pool: Pool, log: Log, stopping: Callable[[], bool]) -> Rollouts | None:
        """Plays the groups of a step; None where a rank was asked to stop."""

        def note(now: str) -> None:
            log.note(**self.shown, now=now)

        try:
            return collect(pool, list(self.jobs()), self.options, self.ranks, stopping, note)
        except RanksLost:
            self._save_alone()  # this step has not changed the weights yet
            raise

    def jobs(self) -> Iterator[RolloutJob]:
        """Yields this step's groups, whose states and samples depend on the seed, the step and the number alone."""
        options, weights = self.options, self._weights(self.policy.state_dict(), self.frozen)
        first = int(np.random.default_rng([options.seed, 1, self.step]).integers(len(self.tasks.names)))
        for number in range(options.groups * options.max_tries):
            samples = tuple((options.seed, 3, self.step, number, sample) for sample in range(options.group_size))
            yield RolloutJob(
                number, (first + number) % len(self.tasks.names), (options.seed, 2, self.step, number), samples,
                options.temperature, options.rows, weights,
            )  # fmt: skip

    def update_policy(self, rollouts: Rollouts) -> dict[str, float]:
        """Makes the optimiser steps of one step, all ranks together; returns the means of their metrics."""
        options, metrics = self.options, defaultdict[str, list[float]](list)
        batch, rows = rollouts.batch(self.policy), np.array(rollouts.rows)
        rng = np.random.default_rng([options.seed, 4, self.step])
        for epoch in range(options.epochs):
            for chosen in minibatches(rng, len(rows), options.minibatch):
                check_agreement = epoch == 0 and not metrics
                own = None if batch is None else batch.of_trajectories(chosen)
                total = minibatch_total(rows[chosen], options.aggregation)
                for name, value in self._optimiser_step(own, total, check_agreement).items():
                    metrics[name].append(value)
        everyones = self.ranks.gather({name: float(np.mean(values)) for name, values in metrics.items()})
        return {name: sum(one[name] for one in everyones[: None if name in SHARES else 1]) for name in metrics}

    def _optimiser_step(self, minibatch: Batch | None, total: int, check_agreement: bool) -> dict[str, float]:
        """Makes one optimiser step from this rank's part of a minibatch and those of the others.

        Args:
            minibatch: this rank's part; None where it has none of the step's trajectories.
            total: see `minibatch_total`; of all parts.
            check_agreement: compare the log-probabilities with those of sampling.
        """
        self.optimiser.zero_grad(set_to_none=True)
        metrics = dict.fromkeys(SHARES, 0.0)
        parts = list(minibatch.parts(self.options.microbatch)) if minibatch is not None else []
        sharded = self.policy.sharded
        passes = max(self.ranks.gather(len(parts))) if sharded else len(parts)
        if minibatch is not None and parts:
            weights = row_weights(minibatch.executed, minibatch.owner, self.options.aggregation, total)
            for part, rows in parts:
                loss, some = self._loss(part.to(self.device), weights[rows].to(self.device), check_agreement)
                loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
                for name, value in some.items():
                    metrics[name] += value
        for _ in range(passes - len(parts)):  # the others need this rank's part of each layer
            images, words, proprio = (tensor.to(self.device) for tensor in nothing_seen(self.policy))
            (0.0 * self.policy(images, words, proprio).sum()).backward()
        loss = self.ranks.add_up([] if sharded else self.trained, torch.tensor(metrics["loss"], device=self.device))
        norm = clip_gradients(self.trained, self.options.max_grad_norm)
        if not np.isfinite([loss.item(), norm]).all():
            raise Diverged(self.updates, loss.item(), self.last, "loss or gradient")
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
            expect_agreement(log_p.detach(), part.log_p, part.executed, options.precision)
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

    def _finish(self, rollouts: Rollouts, metrics: dict[str, float], log: Log) -> None:
        """Counts and logs a step. Raises DeadGroups."""
        tried = rollouts.tried
        self.step += 1
        self.trajectories += sum(map(len, tried))
        self.health.add(Tried.of([[one.success for one in group] for group in tried]))
        cells = {**metrics_of(tried), "kept": len(rollouts.kept) / len(tried), **metrics}
        log.curves("grpo", cells, self.step)
        log.curves("tasks", self._by_task(tried), self.step)
        log.write(f"step {self.step}: " + ", ".join(f"{name} {value:.4g}" for name, value in cells.items()))
        log.advance(1)
        advice = self.health.advice()
        if advice is not None:
            log.write(f"warning: {advice}")
        if self.health.is_dead:
            raise DeadGroups(f"step {self.step}: {advice}; {self.last} holds the policy")

    def _by_task(self, groups: Sequence[Sequence[Result]]) -> dict[str, float]:
        """Success of the trajectories of each task that was played."""
        of_task = defaultdict[str, list[bool]](list)
        for one in (one for group in groups for one in group):
            of_task[self.tasks.names[one.task]].append(one.success)
        return {name: float(np.mean(successes)) for name, successes in of_task.items()}

    def _evaluate(self, pool: Pool, log: Log, stopping: Callable[[], bool]) -> None:
        """Measures success on held-out states at the start, every `evaluate_every` steps, and at the end."""
        options, names = self.options, self.tasks.names
        due = options.evaluate_every and (self.step % options.evaluate_every == 0 or self.step == options.steps)
        if not due or any(one["step"] == self.step for one in self.evaluations) or self.ranks.any(stopping()):
            return
        weights = self._weights(self._policy_weights(), self.frozen)
        states = options.evaluate_states
        successes = held_out_successes(pool, weights, options.rows, states, len(names), stopping, ranks=self.ranks)
        if self.ranks.any(stopping()):
            return  # a resumed run does it again
        low, high = wilson(sum(successes), len(successes))
        success, of_tasks = float(np.mean(successes)), by_task(successes, names)
        tasks = {name: list(counts) for name, counts in of_tasks.items()}
        self.evaluations.append({"step": self.step, "trajectories": self.trajectories, "success": success,
                                 "low": low, "high": high, "states": len(successes), "tasks": tasks})  # fmt: skip
        shares = {name: solved / played for name, (solved, played) in of_tasks.items() if played}
        log.curves("held_out", {"success": success, **(shares if len(names) > 1 else {})}, self.step)
        found = f"{with_interval(successes)} of {len(successes)} held-out states"
        log.write(f"step {self.step}, {self.trajectories} trajectories: {found}")
        if len(names) > 1:
            log.write("  " + ", ".join(f"{name} {solved}/{played}" for name, (solved, played) in of_tasks.items()))
        self.save()

    def resume(self) -> None:
        """Restores the state in last.pt: weights, optimiser and progress; the next groups follow from these.

        Raises:
            CheckpointError: last.pt is missing, or was made with other options.
        """
        payload = self.ranks.from_first(lambda: load(self.last, KIND))
        wanted, defaults = self.options.comparable(), type(self.options)().comparable()
        expect_options(self.last, payload["training"], wanted, defaults, renamed=FORMER_NAMES)
        self.start, self.start_sha256 = payload["start"], payload["start_sha256"]
        load_whole(self.policy, payload["learner"])
        if self.average is not None:
            saved = payload["weights"]
            self.average = {name: part_of(saved[name].to(self.device), own) for name, own in self.average.items()}
        load_optimiser(self.optimiser, payload["optimiser"])
        self.step, self.updates, self.trajectories = (payload[name] for name in ("step", "updates", "trajectories"))
        self.health, self.evaluations = GroupHealth(payload["groups"]), list(payload["evaluations"])

    def payload(self) -> dict[str, Any]:
        """Returns the checkpoint's content, on rank 0; the policy in it is the average where there is one."""
        keep = self.ranks.first
        return {
            "policy": self.policy.config.to_json(),
            "weights": whole(self._policy_weights(), keep),
            "learner": whole(self.policy.state_dict(), keep),
            "algorithm": "GRPO (SimpleVLA-RL)",
            "training": self.options.comparable(),
            "start": self.start,
            "start_sha256": self.start_sha256,
            "seed": self.options.seed,
            "git_commit": self.commit,
            "command": self.command,
            "optimiser": whole_optimiser(self.optimiser, keep),
            "step": self.step,
            "updates": self.updates,
            "trajectories": self.trajectories,
            "groups": self.health.state,
            "evaluations": self.evaluations,
        }

    def save(self) -> None:
        """Writes last.pt, on rank 0; all ranks call it together."""
        payload = self.payload()
        if self.ranks.first:
            save(self.last, KIND, payload)

    def _save_alone(self) -> None:
        """Writes last.pt, on rank 0, where other ranks may have ended: not what they hold a part of."""
        if self.ranks.first and not self.policy.sharded:
            save(self.last, KIND, self.payload())

    def _policy_weights(self) -> dict[str, Tensor]:
        return self.policy.state_dict() if self.average is None else self.average

    def _copied(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.policy.state_dict().items()}

    def _add_to_average(self) -> None:
        if self.average is not None:
            for name, value in self.policy.state_dict().items():
                local(self.average[name]).lerp_(local(value), 1.0 - self.options.ema)

    @staticmethod
    def _weights(state: dict[str, Tensor], without: set[str]) -> dict[str, Any]:
        return arrays(whole({name: value for name, value in state.items() if name not in without}))


def metrics_of(groups: Sequence[Sequence[Result]]) -> dict[str, float]:
    """Averages the outcomes of trajectories."""
    trajectories = [trajectory for group in groups for trajectory in group]
    return {
        "success": float(np.mean([one.success for one in trajectories])),
        "actions": float(np.mean([one.actions for one in trajectories])),
    }
