"""`ferry train ppo`: fine-tunes a cloned policy with PPO (FLaRe, Hu et al. 2025, arXiv:2409.16578).

As in FLaRe, to prevent catastrophic forgetting: actor and critic are two networks that both start from the clone; the
critic alone is trained at first; learning rate and clipping range are small; no entropy bonus; advantages are not
normalised; the reward is sparse. Also as in FLaRe: gamma, lambda, the value coefficient, gradients clipped to a norm
of 0.5, Adam, frozen image encoder, several whole episodes in one row of block-causal attention.

Different, because this runs on two cores: an update plays whole episodes instead of 128 steps of each simulator, so
only an episode of maximum length is truncated; minibatches; a larger learning rate for a network of 1 M instead of
21 M parameters; dropout is off, so that the policy that is trained is the one that acted.

An update, top to bottom: `run` -> `_collect_rollouts` (rollout.py plays whole episodes) -> `_update_policy` ->
`_compute_returns` (advantages.py: values, advantages, returns) -> `_optimiser_step` on each minibatch
(rank_minibatches.py) -> `_loss` (ppo_loss.py: pure functions) -> `_evaluate`. Below them: checkpoints.

Started by torchrun, several ranks do this together (DD-PPO, Wijmans et al. 2020, arXiv:1911.00357): each plays its
part of an update's episodes with simulators of its own, and gradients are summed over ranks.
"""

from __future__ import annotations

import shlex
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import tyro
from torch import Tensor

from robots.binding import bind
from simulation.errors import WorkersLost
from simulation.task_registry import check_tasks
from simulation.twins.registry import make_twin
from simulation.worker_pool import WorkerPool
from training.closed_loop.evaluate import EvaluateOptions, evaluate
from training.data.packing import Batch, Instructions, collate
from training.errors import CheckpointError, Diverged, RanksLost, RewardError
from training.models.spoc import SpocPolicy
from training.models.tokenizer import tokenizer_for
from training.rl.actor_critic import ActorCritic, trained_weights, unfused_attention
from training.rl.advantages import RolloutBatch, compute_returns
from training.rl.ppo_log import Log, opened
from training.rl.ppo_loss import (
    clip_fraction,
    clipped_surrogate,
    entropy,
    explained_variance,
    kl_estimate,
    log_probabilities,
    of_actions,
    value_loss,
)
from training.rl.ppo_options import FORMER_NAMES, PpoOptions, check, comparable
from training.rl.rank_minibatches import Minibatch, RankShard, mean_metrics
from training.rl.reward_shaping import check_shaping
from training.rl.rollout import RolloutJob, RolloutWorker, Trajectory, jobs, twin_options
from training.runtime.checkpoint import (
    expect_new,
    expect_options,
    file_sha256,
    load,
    new_policy,
    policy_from,
    policy_payload,
    save,
)
from training.runtime.commit import git_commit
from training.runtime.distributed import Ranks, alone, device_of, torchrun
from training.runtime.interrupt import stop_request
from training.runtime.weights import arrays

WINDOW = 500
"""Episodes of the running success rate."""


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train ppo`."""
    options = tyro.cli(PpoOptions, args=list(argv), prog="ferry train ppo")
    with torchrun(device_of(options.device)) as ranks:
        return train(Trainer(options, shlex.join(["ferry", "train", "ppo", *argv]), ranks))


def train(trainer: Trainer) -> int:
    """Trains to the end or until Ctrl-C; also runs the trainers of the comparisons."""
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


class Trainer:
    """PPO, update by update; `payload` holds everything that a resumed run needs."""

    def __init__(self, options: PpoOptions, command: str = "", ranks: Ranks | None = None) -> None:
        self.options, self.command, self.commit = options, command, git_commit()
        self.folder, self.ranks, self.device = options.run / options.name, ranks or alone(), device_of(options.device)
        check(options, self.ranks.count)
        self.clone, initial = str(options.source), self.last if options.resume else options.source
        source = self.ranks.from_first(lambda: load(initial, "policy"))
        self.clone_sha256 = "" if options.resume else self.ranks.from_first(lambda: file_sha256(initial))
        policy = policy_from(source, initial)
        if options.from_scratch:
            policy.load_state_dict(trained_weights(new_policy(policy.config, options.seed)), strict=False)
        self.model = self._make_networks(policy).to(self.device)
        critic = {name: value for name, value in self.model.state_dict().items() if not name.startswith("actor.")}
        if critic.keys() == source.get("critic", {}).keys() and not options.from_scratch:
            self.model.load_state_dict(source["critic"], strict=False)
        self.config, self.tokenizer = policy.config, tokenizer_for(policy.config.text)
        body = make_twin(options.play.body, twin_options(self.config, options.play)).spec
        check_tasks(options.play.task, body)
        check_shaping(options.reward.shaping, options.play.task)
        self.mask = torch.from_numpy(bind(self.config.spec(), body).mask).to(self.device)
        self.groups = [self.model.actor_parameters(), self.model.critic_parameters()]
        rates = (options.lr, options.critic_lr)
        groups = [{"params": parameters, "lr": rate} for parameters, rate in zip(self.groups, rates)]
        self.optimiser = torch.optim.Adam(groups, fused=True)
        self.update = self.steps = self.evaluated = 0
        self.best = -1.0
        self.window: deque[bool] = deque(maxlen=WINDOW)

    @property
    def last(self) -> Path:
        """Checkpoint that a resumed run continues from."""
        return self.folder / "last.pt"

    def run(self, stopping: Callable[[], bool] = lambda: False, updates: int | None = None) -> None:
        """Trains to the end, for `updates` updates, or until `stopping()`: then KeyboardInterrupt after a checkpoint.

        Raises:
            RewardError, WorkersLost, RanksLost: during a rollout; last.pt holds every update until then.
            Diverged, or RanksLost during an update: last.pt is from before.
        """
        end = None if updates is None else self.update + updates
        saved_s, stopped = time.monotonic(), False
        with (
            opened(self.folder, self.options.steps, self.steps, self.ranks.first) as log,
            WorkerPool(self._make_worker(), self.options.workers, log.advance, self.options.stall_s) as pool,
        ):
            self._evaluate(log, stopping)
            while self.steps < self.options.steps and self.update != end:
                started_s = time.monotonic()
                trajectories, shard, stopped = self._collect_rollouts(pool, stopping)
                if stopped:
                    break
                collected_s = time.monotonic()
                metrics = self._update_policy(trajectories, shard)
                spent_s = (collected_s - started_s, time.monotonic() - collected_s)
                log.update(self.update, self.steps, shard.outcomes, float(np.mean(self.window)), metrics, *spent_s)
                if time.monotonic() - saved_s > self.options.save_every_s:
                    self._save("last.pt")
                    saved_s = time.monotonic()
                self._evaluate(log, stopping)
            self._save("last.pt")
        if stopped:
            raise KeyboardInterrupt

    def _collect_rollouts(
        self, pool: WorkerPool[RolloutJob, list[Trajectory]], stopping: Callable[[], bool]
    ) -> tuple[list[Trajectory], RankShard, bool]:
        """Returns this rank's episodes of the update, the shard of all ranks, and whether a rank was asked to stop."""
        try:
            done = self._run_jobs(pool, stopping)
            self.ranks.post(f"played {self.update}")
            stopped = self.ranks.any(self._should_stop(stopping))
            trajectories = [trajectory for job in sorted(done) for trajectory in done[job]]
            return trajectories, RankShard.gathered(self.ranks, done), stopped
        except (RanksLost, RewardError, WorkersLost):
            self._save("last.pt")  # this update has not changed the weights yet
            raise

    def _run_jobs(
        self, pool: WorkerPool[RolloutJob, list[Trajectory]], stopping: Callable[[], bool]
    ) -> dict[int, list[Trajectory]]:
        """Runs this rank's rollout jobs and returns their episodes by job number; incomplete once `stopping()`."""
        ranks, preempt, posted = self.ranks, self.options.preempt, f"played {self.update}"
        every = self._jobs()
        number = {job.seed: i for i, job in enumerate(every)}
        run = pool.run(
            every[ranks.rank :: ranks.count],
            give_up=lambda: self._should_stop(stopping),
            enough=lambda: preempt < 1.0 and ranks.posted(posted) >= preempt * ranks.count,
        )
        done = {number[job.seed]: trajectories for job, trajectories in run}
        if not all(np.isfinite(trajectory.rewards).all() for some in done.values() for trajectory in some):
            where = f"update {self.update}, after step {self.steps}"
            raise RewardError(f"reward in {where}: got NaN or infinity, expected a finite number")
        return done

    def _should_stop(self, stopping: Callable[[], bool]) -> bool:
        """Returns whether this rank or another was asked to stop."""
        if stopping():
            self.ranks.post("stop")
            return True
        return self.ranks.posted("stop") > 0

    def _make_networks(self, policy: SpocPolicy) -> ActorCritic:
        return ActorCritic(policy, shared=self.options.shared, seed=self.options.seed)

    def _make_worker(self) -> Callable[[], RolloutWorker]:
        encoder = arrays({name: value.cpu() for name, value in self.model.actor.image_encoder.state_dict().items()})
        return partial(RolloutWorker, self.config, encoder, self.options.play, self.options.reward)

    def _jobs(self) -> list[RolloutJob]:
        """Returns this update's rollout jobs."""
        weights = arrays({name: value.cpu() for name, value in trained_weights(self.model.actor).items()})
        return list(jobs(self.options.seed, self.update, self.options.episodes, self.options.shares, weights))

    def _update_policy(self, trajectories: Sequence[Trajectory], shard: RankShard | None = None) -> dict[str, float]:
        """Runs the epochs of one update; `trajectories` are this rank's episodes in `shard`."""
        options, warming = self.options, self.update < self.options.warmup
        shard = shard or RankShard.single(trajectories)
        rollout = self._compute_returns(trajectories) if trajectories else None
        rng = np.random.default_rng([options.seed, 5, self.update])
        metrics = [
            self._optimiser_step(rollout, minibatch, warming)
            for _ in range(options.epochs)
            for minibatch in shard.minibatches(rng, options.context, options.minibatches, options.microbatch)
        ]
        self.update += 1
        self.steps += sum(outcome.steps for outcome in shard.outcomes)
        self.window.extend(outcome.success for outcome in shard.outcomes)
        mean, limit = mean_metrics(self.ranks, metrics), f"at most {options.target_kl} (target_kl)"
        if mean.get("kl", 0.0) > options.target_kl:
            raise Diverged(self.update, mean["kl"], self.last, "KL divergence", limit)
        return {**mean, "explained_variance": self._explained_variance(rollout)}

    def _compute_returns(self, trajectories: Sequence[Trajectory]) -> RolloutBatch:
        options = self.options
        with self._autocast():
            return compute_returns(
                trajectories, self.tokenizer, self._values,
                context=options.context, gamma=options.gamma, gae_lambda=options.gae_lambda,
            )  # fmt: skip

    def _optimiser_step(self, rollout: RolloutBatch | None, minibatch: Minibatch, warming: bool) -> dict[str, float]:
        """Makes one optimiser step of all ranks together; returns this rank's part of the metrics."""
        self.optimiser.zero_grad(set_to_none=True)
        total, metrics = torch.zeros((), device=self.device), defaultdict[str, float](float)
        for microbatch in minibatch.microbatches:
            assert rollout is not None  # a microbatch holds episodes that this rank played
            batch = collate(rollout.episodes, rollout.words, microbatch.rows, self.options.context)
            loss, some = self._loss(rollout, batch, warming)
            (microbatch.weight * loss).backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
            total += microbatch.weight * loss.detach()
            for name, value in some.items():
                metrics[name] += microbatch.weight * value
        total = self.ranks.add_up([*self.groups[0], *self.groups[1]], total)
        norms = [float(torch.nn.utils.clip_grad_norm_(group, self.options.max_grad_norm)) for group in self.groups]
        if not np.isfinite([total.item(), *norms]).all():
            raise Diverged(self.update, total.item(), self.last, "loss or gradient")
        self.optimiser.step()
        return {**metrics, "actor_norm": minibatch.weight * norms[0], "critic_norm": minibatch.weight * norms[1]}

    def _loss(self, rollout: RolloutBatch, batch: Batch, warming: bool) -> tuple[Tensor, dict[str, float]]:
        """Computes the mean loss of a batch's decisions; while warming up, of the critic alone."""
        place, source = rollout.actions_in(batch)
        batch, place = self._batch_to_device(batch), place.to(self.device)
        with self._autocast(), unfused_attention(self.device):
            both = (None, self.model.values(batch, rollout.words)) if warming else self.model.both(batch, rollout.words)
        logits, values = both
        returns, before = self._to_device(rollout.returns[source]), self._to_device(rollout.values[source])
        critic_loss = value_loss(values[place], returns, before, self.options.value_clip)
        loss, metrics = self.options.value_coefficient * critic_loss, {"value_loss": critic_loss.item()}
        if logits is None:
            return loss, metrics
        actor_loss, more = self._actor_loss(rollout, logits[place], batch.labels[place], source)
        return loss + actor_loss, {**metrics, **more}

    def _actor_loss(
        self, rollout: RolloutBatch, logits: Tensor, actions: Tensor, source: npt.NDArray[np.int64]
    ) -> tuple[Tensor, dict[str, float]]:
        options = self.options
        every = log_probabilities(logits, self.mask)
        log_p, old = of_actions(every, actions), self._to_device(rollout.old_log_p[source])
        surrogate = clipped_surrogate(log_p, old, self._to_device(rollout.advantages[source]), options.clip_coef)
        bonus = entropy(every)
        with torch.no_grad():
            metrics = {
                "policy_loss": surrogate.item(),
                "entropy": bonus.item(),
                "kl": kl_estimate(log_p, old).item(),
                "clip_fraction": clip_fraction(log_p, old, options.clip_coef).item(),
            }
        return surrogate - options.entropy_coefficient * bonus, metrics

    def _explained_variance(self, rollout: RolloutBatch | None) -> float:
        """Computes the fraction of the returns' variance that the critic explains, over all ranks."""
        own = None if rollout is None else (rollout.values[rollout.acted], rollout.returns[rollout.acted])
        by_rank = [pair for pair in self.ranks.gather(own) if pair is not None]
        values, returns = (np.concatenate(arrays_of).astype(np.float64) for arrays_of in zip(*by_rank))
        return explained_variance(values, returns)

    def _evaluate(self, log: Log, stopping: Callable[[], bool]) -> None:
        """Measures success in validation houses every `evaluate_every` steps, on rank 0; the others wait."""
        every = self.options.evaluate_every
        due = 1 + self.steps // every if every else 0
        if self.evaluated < due:
            self.best, self.evaluated = self.ranks.from_first(lambda: self._validate(log, stopping, due))

    def _validate(self, log: Log, stopping: Callable[[], bool], due: int) -> tuple[float, int]:
        """Measures greedy and sampled success and saves the best greedy policy; returns the best and `evaluated`."""
        options, what = self.options, "again" if self.steps else "the clone first"
        self._save("last.pt")
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
            self._save("best.pt")
        self._save("last.pt")
        return self.best, self.evaluated

    def resume(self) -> None:
        """Restores the state in last.pt: weights, optimiser and progress; the next episodes follow from these.

        The clone's file may be gone or moved by then.

        Raises:
            CheckpointError: last.pt is missing, or was made with other options or from another clone.
        """
        payload = self.ranks.from_first(lambda: load(self.last, "policy"))
        defaults = comparable(type(self.options)())
        expect_options(self.last, payload["training"], comparable(self.options), defaults, renamed=FORMER_NAMES)
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
        found = file_sha256(Path(self.clone))
        if self.clone_sha256 not in ("", found):
            expected = f"{self.clone_sha256:.12}, which the run in {self.folder} began with"
            raise CheckpointError(f"{self.clone}: got a clone with SHA-256 {found:.12}, expected {expected}")

    def payload(self) -> dict[str, Any]:
        """Returns the checkpoint's content; the policy in it is the actor."""
        state = self.model.state_dict()
        return {
            **policy_payload(self.model.actor),
            "critic": {name: value for name, value in state.items() if not name.startswith("actor.")},
            "algorithm": "PPO (FLaRe)",
            "training": comparable(self.options),
            "clone": self.clone,
            "clone_sha256": self.clone_sha256,
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

    def _save(self, name: str) -> None:
        if self.ranks.first:
            save(self.folder / name, "policy", self.payload())

    def _values(self, batch: Batch, words: Instructions) -> Tensor:
        return self.model.values(self._batch_to_device(batch), words).cpu()

    def _batch_to_device(self, batch: Batch) -> Batch:
        """Moves a batch to the device, its image tokens in the first layer's type, once for actor and critic."""
        tokens = batch.tokens.bfloat16() if self.options.bf16 else batch.tokens
        return replace(batch, tokens=tokens).to(self.device)

    def _to_device(self, numbers: npt.NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(numbers).to(self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bf16)
