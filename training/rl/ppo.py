"""`ferry train ppo`: reinforcement learning makes the cloned policy better (FLaRe, Hu et al. 2025, arXiv:2409.16578).

What keeps it from forgetting what was cloned, as in FLaRe: actor and critic are two networks that both start from the
clone; the critic alone is trained at first; the learning rate and the clip are small; no entropy bonus; advantages are
not normalised; the reward is sparse. Kept as well: gamma, lambda, the value coefficient, gradients cut at a norm of
0.5, Adam, frozen image encoder, several whole episodes in one row of block-causal attention.

Different, because this runs on two cores: an update plays whole episodes instead of 128 steps of each simulator, so
the only thing cut off is an episode at its longest; minibatches; a larger learning rate for a network of 1 M instead of
21 M parameters; dropout is off, so that the policy that learns is the one that played.

An update, top to bottom: `run` -> `_play_together` (ppo_rollout.py plays whole episodes) -> `_learn` -> `_experience`
(experience.py: values, advantages, returns) -> `_step` on each minibatch (share.py) -> `_loss` (ppo_loss.py: pure
functions) -> `_evaluate`. What follows them keeps and takes up checkpoints.

Started by torchrun, several ranks do this together (DD-PPO, Wijmans et al. 2020, arXiv:1911.00357): each plays its
share of an update's episodes with simulators of its own, and gradients are summed over ranks.
"""

from __future__ import annotations

import shlex
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import tyro
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from robots.binding import bind
from simulation.errors import WorkersLost
from simulation.task_registry import check_tasks
from simulation.twins.registry import make_twin
from simulation.worker_pool import WorkerPool
from training.closed_loop.evaluate import EvaluateOptions, evaluate
from training.data.packing import Batch, Instructions, collate
from training.errors import CheckpointError, Diverged, RanksLost, RewardError
from training.imitation.bc import stop_request
from training.models.spoc import SpocPolicy
from training.models.tokenizer import tokenizer_for
from training.rl.actor_critic import ActorCritic, trained_weights
from training.rl.advantages import Experience, experience
from training.rl.ppo_log import Log, opened
from training.rl.ppo_loss import (
    clip_share,
    clipped_surrogate,
    entropy,
    explained_variance,
    kl_estimate,
    log_probabilities,
    of_actions,
    value_loss,
)
from training.rl.ppo_options import PpoOptions, check, comparable
from training.rl.rank_minibatches import Part, Share, mean_figures
from training.rl.reward_shaping import check_shaping
from training.rl.rollout import Played, Player, PlayJob, arrays, jobs, twin_options
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

WINDOW = 500
"""Episodes over which the success rate is shown."""


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train ppo`."""
    options = tyro.cli(PpoOptions, args=list(argv), prog="ferry train ppo")
    with torchrun(device_of(options.device)) as ranks:
        return train(Trainer(options, shlex.join(["ferry", "train", "ppo", *argv]), ranks))


def train(trainer: Trainer) -> int:
    """Trains to the end or until Ctrl-C; the comparisons, which are Trainers of their own, run like this too."""
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
    """PPO, update by update; everything that a resumed run needs is in `payload`."""

    def __init__(self, options: PpoOptions, command: str = "", ranks: Ranks | None = None) -> None:
        self.options, self.command, self.commit = options, command, git_commit()
        self.folder, self.ranks, self.device = options.run / options.name, ranks or alone(), device_of(options.device)
        check(options, self.ranks.count)
        self.clone, begin = str(options.source), self.last if options.resume else options.source
        source = self.ranks.from_first(lambda: load(begin, "policy"))
        self.clone_sha256 = "" if options.resume else self.ranks.from_first(lambda: file_sha256(begin))
        policy = policy_from(source, begin)
        if options.scratch:
            policy.load_state_dict(trained_weights(new_policy(policy.config, options.seed)), strict=False)
        self.model = self._networks(policy).to(self.device)
        critic = {name: one for name, one in self.model.state_dict().items() if not name.startswith("actor.")}
        if critic.keys() == source.get("critic", {}).keys() and not options.scratch:
            self.model.load_state_dict(source["critic"], strict=False)
        self.config, self.tokenizer = policy.config, tokenizer_for(policy.config.text)
        body = make_twin(options.play.body, twin_options(self.config, options.play)).spec
        check_tasks(options.play.task, body)
        check_shaping(options.reward.shaping, options.play.task)
        self.mask = torch.from_numpy(bind(self.config.spec(), body).mask).to(self.device)
        self.groups = [self.model.actor_parameters(), self.model.critic_parameters()]
        rates = (options.lr, options.critic_lr)
        groups = [{"params": one, "lr": rate} for one, rate in zip(self.groups, rates)]
        self.optimiser = torch.optim.Adam(groups, fused=True)
        self.update = self.steps = self.evaluated = 0
        self.best = -1.0
        self.window: deque[bool] = deque(maxlen=WINDOW)

    @property
    def last(self) -> Path:
        """The checkpoint that a resumed run goes on from."""
        return self.folder / "last.pt"

    def run(self, stopping: Callable[[], bool] = lambda: False, updates: int | None = None) -> None:
        """Trains to the end, or for some updates, or until `stopping()`; KeyboardInterrupt after a checkpoint then.

        Raises:
            RewardError, WorkersLost, RanksLost: while playing; last.pt has all that was learnt until then.
            Diverged, or RanksLost while learning: last.pt is from before.
        """
        end = None if updates is None else self.update + updates
        saved_s, stopped = time.monotonic(), False
        with (
            opened(self.folder, self.options.steps, self.steps, self.ranks.first) as log,
            WorkerPool(self._make_player(), self.options.workers, log.advance, self.options.stall_s) as pool,
        ):
            self._evaluate(log, stopping)
            while self.steps < self.options.steps and self.update != end:
                started_s = time.monotonic()
                played, share, stopped = self._play_together(pool, stopping)
                if stopped:
                    break
                played_s = time.monotonic()
                figures = self._learn(played, share)
                spent_s = (played_s - started_s, time.monotonic() - played_s)
                log.update(self.update, self.steps, share.outcomes, float(np.mean(self.window)), figures, *spent_s)
                if time.monotonic() - saved_s > self.options.save_every_s:
                    self._save("last.pt")
                    saved_s = time.monotonic()
                self._evaluate(log, stopping)
            self._save("last.pt")
        if stopped:
            raise KeyboardInterrupt

    def _play_together(
        self, pool: WorkerPool[PlayJob, list[Played]], stopping: Callable[[], bool]
    ) -> tuple[list[Played], Share, bool]:
        """This rank's episodes of the update, what is known of everyone's, and whether some rank is to stop."""
        try:
            done = self._play(pool, stopping)
            self.ranks.post(f"played {self.update}")
            stopped = self.ranks.any(self._stops(stopping))
            return [one for job in sorted(done) for one in done[job]], Share.among(self.ranks, done), stopped
        except (RanksLost, RewardError, WorkersLost):
            self._save("last.pt")  # nothing was learnt of this update yet
            raise

    def _play(self, pool: WorkerPool[PlayJob, list[Played]], stopping: Callable[[], bool]) -> dict[int, list[Played]]:
        """The episodes of this rank's jobs, by the jobs' numbers; of no use once `stopping()`."""
        ranks, preempt, posted = self.ranks, self.options.preempt, f"played {self.update}"
        every = self._jobs()
        number = {job.seed: i for i, job in enumerate(every)}
        run = pool.run(
            every[ranks.rank :: ranks.count],
            give_up=lambda: self._stops(stopping),
            enough=lambda: preempt < 1.0 and ranks.posted(posted) >= preempt * ranks.count,
        )
        done = {number[job.seed]: played for job, played in run}
        if not all(np.isfinite(one.rewards).all() for played in done.values() for one in played):
            where = f"update {self.update}, after step {self.steps}"
            raise RewardError(f"reward in {where}: got one that is no number, expected a number")
        return done

    def _stops(self, stopping: Callable[[], bool]) -> bool:
        """Whether this rank or another was asked to stop."""
        if stopping():
            self.ranks.post("stop")
            return True
        return self.ranks.posted("stop") > 0

    def _networks(self, policy: SpocPolicy) -> ActorCritic:
        return ActorCritic(policy, shared=self.options.shared, seed=self.options.seed)

    def _make_player(self) -> Callable[[], Player]:
        encoder = arrays({name: one.cpu() for name, one in self.model.actor.image_encoder.state_dict().items()})
        return partial(Player, self.config, encoder, self.options.play, self.options.reward)

    def _jobs(self) -> list[PlayJob]:
        """This update's work for the players."""
        weights = arrays({name: one.cpu() for name, one in trained_weights(self.model.actor).items()})
        return list(jobs(self.options.seed, self.update, self.options.episodes, self.options.shares, weights))

    def _learn(self, played: Sequence[Played], share: Share | None = None) -> dict[str, float]:
        """One update: some epochs over the steps just played, of which `played` are this rank's."""
        options, warming, share = self.options, self.update < self.options.warmup, share or Share.alone(played)
        seen = self._experience(played) if played else None
        rng = np.random.default_rng([options.seed, 5, self.update])
        figures = [
            self._step(seen, part, warming)
            for _ in range(options.epochs)
            for part in share.parts(rng, options.context, options.minibatches, options.microbatch)
        ]
        self.update += 1
        self.steps += sum(one.steps for one in share.outcomes)
        self.window.extend(one.success for one in share.outcomes)
        mean = mean_figures(self.ranks, figures)
        if mean.get("kl", 0.0) > options.kl_stop:
            raise Diverged(self.update, mean["kl"], self.last, "KL divergence", f"at most {options.kl_stop} (kl_stop)")
        return {**mean, "explained_variance": self._explained(seen)}

    def _experience(self, played: Sequence[Played]) -> Experience:
        options = self.options
        with self._autocast():
            return experience(
                played, self.tokenizer, self._values,
                context=options.context, gamma=options.gamma, decay=options.decay,
            )  # fmt: skip

    def _step(self, seen: Experience | None, part: Part, warming: bool) -> dict[str, float]:
        """One optimiser step of all ranks together; returns this one's part of the figures."""
        self.optimiser.zero_grad(set_to_none=True)
        total, figures = torch.zeros((), device=self.device), defaultdict[str, float](float)
        for piece in part.pieces:
            assert seen is not None  # a piece is of episodes that this rank played
            batch = collate(seen.episodes, seen.words, piece.rows, self.options.context)
            loss, some = self._loss(seen, batch, warming)
            (piece.weight * loss).backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
            total += piece.weight * loss.detach()
            for name, value in some.items():
                figures[name] += piece.weight * value
        total = self.ranks.add_up([*self.groups[0], *self.groups[1]], total)
        norms = [float(torch.nn.utils.clip_grad_norm_(group, self.options.largest_norm)) for group in self.groups]
        if not np.isfinite([total.item(), *norms]).all():
            raise Diverged(self.update, total.item(), self.last, "loss or gradient")
        self.optimiser.step()
        return {**figures, "actor_norm": part.weight * norms[0], "critic_norm": part.weight * norms[1]}

    def _loss(self, seen: Experience, batch: Batch, warming: bool) -> tuple[Tensor, dict[str, float]]:
        """The mean loss of a batch's decisions; while warming up, of the critic alone."""
        place, source = seen.actions_in(batch)
        batch, place = self._on_device(batch), place.to(self.device)
        with self._autocast(), self._attention():
            both = (None, self.model.values(batch, seen.words)) if warming else self.model.both(batch, seen.words)
        logits, values = both
        wanted, before = self._there(seen.returns[source]), self._there(seen.values[source])
        critic_loss = value_loss(values[place], wanted, before, self.options.value_clip)
        loss, figures = self.options.value_coefficient * critic_loss, {"value_loss": critic_loss.item()}
        if logits is None:
            return loss, figures
        actor_loss, more = self._actor_loss(seen, logits[place], batch.labels[place], source)
        return loss + actor_loss, {**figures, **more}

    def _actor_loss(
        self, seen: Experience, logits: Tensor, actions: Tensor, source: npt.NDArray[np.int64]
    ) -> tuple[Tensor, dict[str, float]]:
        options = self.options
        every = log_probabilities(logits, self.mask)
        log_p, old = of_actions(every, actions), self._there(seen.old_log_p[source])
        surrogate = clipped_surrogate(log_p, old, self._there(seen.advantages[source]), options.clip)
        bonus = entropy(every)
        with torch.no_grad():
            figures = {
                "policy_loss": surrogate.item(),
                "entropy": bonus.item(),
                "kl": kl_estimate(log_p, old).item(),
                "clip_share": clip_share(log_p, old, options.clip).item(),
            }
        return surrogate - options.entropy_coefficient * bonus, figures

    def _explained(self, seen: Experience | None) -> float:
        """How much of the returns' variance the critic explained, over all ranks."""
        own = None if seen is None else (seen.values[seen.acted], seen.returns[seen.acted])
        some = [one for one in self.ranks.gather(own) if one is not None]
        values, returns = (np.concatenate(one).astype(np.float64) for one in zip(*some))
        return explained_variance(values, returns)

    def _evaluate(self, log: Log, stopping: Callable[[], bool]) -> None:
        """Every so many steps rank 0 measures success in validation houses, while the others wait."""
        every = self.options.evaluate_every
        due = 1 + self.steps // every if every else 0
        if self.evaluated < due:
            self.best, self.evaluated = self.ranks.from_first(lambda: self._judge(log, stopping, due))

    def _judge(self, log: Log, stopping: Callable[[], bool], due: int) -> tuple[float, int]:
        """Greedy and sampled success; keeps the best greedy one. Returns the best so far and what was evaluated."""
        options = self.options
        self._save("last.pt")
        judged = EvaluateOptions(
            self.last, options.evaluate_episodes, max_steps=options.evaluate_steps, workers=options.workers,
            task=options.play.task, body=options.play.body,
        )  # fmt: skip
        results = {one: evaluate(judged, one, stopping)["simulated"] for one in ("greedy", "sample")}
        if stopping():
            return self.best, self.evaluated  # a resumed run does it again
        success = {name: one["success"] for name, one in results.items()}
        log.curves("validation", success, self.steps)
        log.say(f"validation at {self.steps} steps: " + ", ".join(f"{k} {v:.1%}" for k, v in success.items()))
        better, self.evaluated = success["greedy"] > self.best, due
        if better:
            self.best = success["greedy"]
            self._save("best.pt")
        self._save("last.pt")
        return self.best, self.evaluated

    def resume(self) -> None:
        """Takes up the state of last.pt: weights, optimiser and progress; the next episodes follow from these.

        The clone need not be there any more, and may have been moved.

        Raises:
            CheckpointError: there is none, or it was made with other options or from another clone.
        """
        payload = self.ranks.from_first(lambda: load(self.last, "policy"))
        expect_options(self.last, payload["training"], comparable(self.options), comparable(type(self.options)()))
        self.clone, self.clone_sha256 = str(self.options.clone or payload["clone"]), payload.get("clone_sha256", "")
        if self.options.clone:
            self.ranks.from_first(self.expect_clone)
        self.model.actor.load_state_dict(payload["weights"])
        self.model.load_state_dict(payload["critic"], strict=False)
        self.optimiser.load_state_dict(payload["optimiser"])
        self.update, self.steps, self.evaluated = payload["update"], payload["steps"], payload["evaluated"]
        self.best, self.window = payload["best"], deque(map(bool, payload["window"]), maxlen=WINDOW)

    def expect_clone(self) -> None:
        """Raises CheckpointError where the clone is gone or another than the run began with."""
        found = file_sha256(Path(self.clone))
        if self.clone_sha256 not in ("", found):
            expected = f"{self.clone_sha256:.12}, which the run in {self.folder} began with"
            raise CheckpointError(f"{self.clone}: got a clone with SHA-256 {found:.12}, expected {expected}")

    def payload(self) -> dict[str, Any]:
        """The checkpoint's content; the policy in it is the actor."""
        state = self.model.state_dict()
        return {
            **policy_payload(self.model.actor),
            "critic": {name: one for name, one in state.items() if not name.startswith("actor.")},
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
            "window": [int(one) for one in self.window],
        }

    def _save(self, name: str) -> None:
        if self.ranks.first:
            save(self.folder / name, "policy", self.payload())

    def _values(self, batch: Batch, words: Instructions) -> Tensor:
        return self.model.values(self._on_device(batch), words).cpu()

    def _on_device(self, batch: Batch) -> Batch:
        """On the device; pictures in the type that the first layer takes, once for actor and critic."""
        tokens = batch.tokens.bfloat16() if self.options.bf16 else batch.tokens
        return replace(batch, tokens=tokens).to(self.device)

    def _there(self, numbers: npt.NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(numbers).to(self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bf16)

    def _attention(self) -> AbstractContextManager[None]:
        """On a CPU plain attention: the fused one's backward pass is so slow that an update takes 15 % longer."""
        return sdpa_kernel(SDPBackend.MATH) if self.device.type == "cpu" else nullcontext()
