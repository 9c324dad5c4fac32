"""`ferry train ppo`: reinforcement learning makes the cloned policy better (FLaRe, Hu et al. 2025, arXiv:2409.16578).

What keeps it from forgetting what was cloned, as in FLaRe: actor and critic are two networks that both start from the
clone; the critic alone is trained at first; the learning rate and the clip are small; no entropy bonus; advantages are
not normalised; the reward is sparse. Kept as well: gamma, lambda, the value coefficient, gradients cut at a norm of
0.5, Adam, frozen image encoder, several whole episodes in one row of block-causal attention.

Different, because this runs on two cores: an update plays whole episodes instead of 128 steps of each simulator, so
the only thing cut off is an episode at its longest; minibatches; a larger learning rate for a network of 1 M instead of
21 M parameters; dropout is off, so that the policy that learns is the one that played.
"""

from __future__ import annotations

import shlex
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import tyro
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from robots.binding import bind
from simulation.twin import StretchTwin
from training.actor_critic import ActorCritic, trained_weights
from training.bc import stop_request
from training.checkpoint import expect_options, load, new_policy, policy_from, policy_payload, save
from training.commit import git_commit
from training.dataset import Batch
from training.errors import Diverged, RewardError
from training.evaluate import EvaluateOptions, evaluate
from training.experience import Experience, experience
from training.ppo_loss import (
    clip_share,
    clipped_surrogate,
    entropy,
    explained_variance,
    kl_estimate,
    log_probabilities,
    of_actions,
    value_loss,
)
from training.ppo_rollout import Played, Player, PlayJob, PlayOptions, RewardOptions, arrays, jobs, twin_options
from training.progress import Bar
from training.tokenizer import tokenizer_for
from training.workers import WorkerPool

WINDOW = 500
"""Episodes over which the success rate is shown."""


@dataclass(frozen=True)
class PpoOptions:
    """Fine-tunes a cloned policy by reinforcement learning."""

    run: Path = Path("runs/mini")
    """Folder of the run."""
    name: str = "ppo"
    """Folder in the run for checkpoints (last.pt, best.pt) and TensorBoard files."""
    clone: Path | None = None
    """Checkpoint to start from; by default the run's bc/best.pt."""
    resume: bool = False
    """Go on exactly where last.pt stopped."""
    steps: int = 2_000_000
    """Simulation steps in all; the last update may go over."""
    episodes: int = 128
    """Whole episodes per update, about 6,000 steps (FLaRe: 4,096)."""
    warmup: int = 8
    """Updates of the critic alone, 48,000 steps (FLaRe: 200,000 of 20 M)."""
    epochs: int = 3
    """Times an update sees its steps (FLaRe: 4)."""
    minibatches: int = 4
    """Optimiser steps per epoch (FLaRe: 1)."""
    lr: float = 1e-4
    """Of the actor, constant (FLaRe: 2e-5 for a network 20 times as large)."""
    critic_lr: float = 5e-4
    """Of the critic, constant (FLaRe: as the actor's)."""
    clip: float = 0.1
    gamma: float = 0.99
    decay: float = 0.95
    """GAE's lambda."""
    value_coefficient: float = 0.5
    entropy_coefficient: float = 0.0
    """An entropy bonus is one of FLaRe's ablations (0.2): it collapses."""
    largest_norm: float = 0.5
    """Gradients of the actor and of the critic are each cut at this norm."""
    shared: bool = False
    """One network with two heads: one of FLaRe's ablations."""
    scratch: bool = False
    """Start from untrained weights (the image encoder stays as it is)."""
    kl_stop: float = 0.2
    """An update that moves the policy further than this [nat] ends the run as diverged; inf for never."""
    reward: RewardOptions = field(default_factory=RewardOptions)
    play: PlayOptions = field(default_factory=PlayOptions)
    context: int = 160
    """Steps per row; an episode is never cut."""
    bf16: bool = True
    """Matrix products of the update in bfloat16."""
    workers: int = 2
    shares: int = 4
    """Jobs per update; the workers share them."""
    threads: int = 2
    """Torch threads of the update; the workers wait meanwhile. 1 where other programs keep the cores busy."""
    save_every_s: float = 120.0
    evaluate_every: int = 200_000
    """Steps between evaluations in validation houses; 0 for none."""
    evaluate_episodes: int = 200
    evaluate_steps: int = 200
    """Longest episode of an evaluation."""
    seed: int = 0

    @property
    def source(self) -> Path:
        """The clone's checkpoint."""
        return self.clone or self.run / "bc" / "best.pt"


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train ppo`."""
    options = tyro.cli(PpoOptions, args=list(argv), prog="ferry train ppo")
    return train(Trainer(options, shlex.join(["ferry", "train", "ppo", *argv])))


def train(trainer: Trainer) -> int:
    """Trains to the end or until Ctrl-C; the comparisons, which are Trainers of their own, run like this too."""
    torch.set_num_threads(trainer.options.threads)
    if trainer.options.resume:
        trainer.resume()
    with stop_request() as stopping:
        trainer.run(stopping)
    print(f"{trainer.folder}: {trainer.steps} steps, best validation success {trainer.best:.1%} (best.pt)")
    return 0


class Trainer:
    """PPO, update by update; everything that a resumed run needs is in `payload`."""

    def __init__(self, options: PpoOptions, command: str = "") -> None:
        self.options, self.command, self.commit = options, command, git_commit()
        self.folder = options.run / options.name
        policy = policy_from(load(options.source, "policy"), options.source)
        if options.scratch:
            policy.load_state_dict(trained_weights(new_policy(policy.config, options.seed)), strict=False)
        self.model = ActorCritic(policy, shared=options.shared, seed=options.seed)
        self.config, self.tokenizer = policy.config, tokenizer_for(policy.config.text)
        body = StretchTwin(twin_options(self.config, options.play)).spec
        self.mask = torch.from_numpy(bind(self.config.spec(), body).mask)
        self.groups = [self.model.actor_parameters(), self.model.critic_parameters()]
        rates = (options.lr, options.critic_lr)
        groups = [{"params": one, "lr": rate} for one, rate in zip(self.groups, rates)]
        self.optimiser = torch.optim.Adam(groups, fused=True)
        self.update = self.steps = self.evaluated = 0
        self.best = -1.0
        self.window: deque[bool] = deque(maxlen=WINDOW)

    def run(self, stopping: Callable[[], bool] = lambda: False, updates: int | None = None) -> None:
        """Trains to the end, or for some updates, or until `stopping()`; KeyboardInterrupt after a checkpoint then.

        Raises:
            RewardError, Diverged: last.pt is from before.
        """
        end = None if updates is None else self.update + updates
        saved_s = time.monotonic()
        with (
            SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.steps) as board,
            Bar("ppo", self.options.steps, "steps") as bar,
            WorkerPool(self._make_player(), self.options.workers, bar.advance) as pool,
        ):
            bar.advance(self.steps)
            self._evaluate(board, bar, stopping)
            while self.steps < self.options.steps and self.update != end and not stopping():
                started_s = time.monotonic()
                played = self._play(pool, stopping)
                if stopping():
                    break
                played_s = time.monotonic()
                figures = self._learn(played)
                self._log(board, bar, played, figures, played_s - started_s, time.monotonic() - played_s)
                if time.monotonic() - saved_s > self.options.save_every_s:
                    self._save("last.pt")
                    saved_s = time.monotonic()
                self._evaluate(board, bar, stopping)
            self._save("last.pt")
        if stopping():
            raise KeyboardInterrupt

    def resume(self) -> None:
        """Takes up the state of last.pt: weights, optimiser and progress; the next episodes follow from these.

        Raises:
            CheckpointError: there is none, or it was made with other options.
        """
        path = self.folder / "last.pt"
        payload = load(path, "policy")
        expect_options(path, payload["training"], _comparable(self.options), _comparable(type(self.options)()))
        self.model.actor.load_state_dict(payload["weights"])
        self.model.load_state_dict(payload["critic"], strict=False)
        self.optimiser.load_state_dict(payload["optimiser"])
        self.update, self.steps, self.evaluated = payload["update"], payload["steps"], payload["evaluated"]
        self.best, self.window = payload["best"], deque(map(bool, payload["window"]), maxlen=WINDOW)

    def payload(self) -> dict[str, Any]:
        """The checkpoint's content; the policy in it is the actor."""
        state = self.model.state_dict()
        return {
            **policy_payload(self.model.actor),
            "critic": {name: one for name, one in state.items() if not name.startswith("actor.")},
            "algorithm": "PPO (FLaRe)",
            "training": _comparable(self.options),
            "clone": str(self.options.source),
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

    def _make_player(self) -> Callable[[], Player]:
        encoder = arrays(self.model.actor.image_encoder.state_dict())
        return partial(Player, self.config, encoder, self.options.play, self.options.reward)

    def _jobs(self) -> list[PlayJob]:
        """This update's work for the players."""
        weights = arrays(trained_weights(self.model.actor))
        return list(jobs(self.options.seed, self.update, self.options.episodes, self.options.shares, weights))

    def _play(self, pool: WorkerPool[PlayJob, list[Played]], stopping: Callable[[], bool]) -> list[Played]:
        """This update's episodes, in the order in which they were drawn; of no use once `stopping()`."""
        work = self._jobs()
        done: dict[tuple[int, ...], list[Played]] = {}
        for job, some in pool.run(work, give_up=stopping):
            done[job.seed] = some
        played = [one for job in work for one in done.get(job.seed, [])]
        if not all(np.isfinite(one.rewards).all() for one in played):
            raise RewardError(f"reward in update {self.update}: got one that is no number, expected a number")
        return played

    def _learn(self, played: Sequence[Played]) -> dict[str, float]:
        """One update: some epochs over the steps just played."""
        options, warming = self.options, self.update < self.options.warmup
        seen = self._experience(played)
        rng = np.random.default_rng([options.seed, 5, self.update])
        figures = [
            self._step(seen, batch, warming)
            for _ in range(options.epochs)
            for batch in seen.batches(rng, options.context, options.minibatches)
        ]
        self.update += 1
        self.steps += sum(map(len, played))
        self.window.extend(one.success for one in played)
        mean = {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}
        if mean.get("kl", 0.0) > options.kl_stop:
            last = self.folder / "last.pt"
            raise Diverged(self.update, mean["kl"], last, "KL divergence", f"at most {options.kl_stop} (kl_stop)")
        values, returns = (one[seen.acted].astype(np.float64) for one in (seen.values, seen.returns))
        explained = explained_variance(values, returns)
        return {**mean, "explained_variance": explained}

    def _step(self, seen: Experience, batch: Batch, warming: bool) -> dict[str, float]:
        """One optimiser step; while warming up, of the critic alone."""
        options = self.options
        place, source = seen.actions_in(batch)
        with self._autocast():
            both = (None, self.model.values(batch, seen.words)) if warming else self.model.both(batch, seen.words)
        logits, values = both
        critic_loss = value_loss(values[place], torch.from_numpy(seen.returns[source]))
        loss, figures = options.value_coefficient * critic_loss, {"value_loss": critic_loss.item()}
        if logits is not None:
            actor_loss, more = self._actor_loss(seen, logits[place], batch.labels[place], source)
            loss, figures = loss + actor_loss, {**figures, **more}
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        norms = [float(torch.nn.utils.clip_grad_norm_(group, options.largest_norm)) for group in self.groups]
        if not np.isfinite([loss.item(), *norms]).all():
            raise Diverged(self.update, loss.item(), self.folder / "last.pt", "loss or gradient")
        self.optimiser.step()
        return {**figures, "actor_norm": norms[0], "critic_norm": norms[1]}

    def _actor_loss(
        self, seen: Experience, logits: Tensor, actions: Tensor, source: npt.NDArray[np.int64]
    ) -> tuple[Tensor, dict[str, float]]:
        options = self.options
        every = log_probabilities(logits, self.mask)
        log_p, old = of_actions(every, actions), torch.from_numpy(seen.old_log_p[source])
        surrogate = clipped_surrogate(log_p, old, torch.from_numpy(seen.advantages[source]), options.clip)
        bonus = entropy(every)
        with torch.no_grad():
            figures = {
                "policy_loss": surrogate.item(),
                "entropy": bonus.item(),
                "kl": kl_estimate(log_p, old).item(),
                "clip_share": clip_share(log_p, old, options.clip).item(),
            }
        return surrogate - options.entropy_coefficient * bonus, figures

    def _experience(self, played: Sequence[Played]) -> Experience:
        options = self.options
        with self._autocast():
            return experience(
                played, self.tokenizer, self.model.values,
                context=options.context, gamma=options.gamma, decay=options.decay,
            )  # fmt: skip

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.options.bf16)

    def _log(
        self, board: SummaryWriter, bar: Bar, played: Sequence[Played], figures: dict[str, float],
        playing_s: float, learning_s: float,
    ) -> None:  # fmt: skip
        steps = sum(map(len, played))
        scores = {
            "success": float(np.mean([one.success for one in played])),
            "success_window": float(np.mean(self.window)),
            "length": steps / len(played),
            "said_done": float(np.mean([one.said_done for one in played])),
            "collisions": float(np.mean([one.collisions for one in played])),
        }
        speed = {
            "steps_per_s": steps / (playing_s + learning_s),
            "playing_steps_per_s": steps / playing_s,
            "learning_steps_per_s": steps / learning_s,
        }
        for group, values in (("episodes", scores), ("learning", figures), ("speed", speed)):
            for name, value in values.items():
                board.add_scalar(f"{group}/{name}", value, self.steps)
        cells = {**scores, **figures, **speed}
        bar.say(f"update {self.update}, {self.steps} steps: " + ", ".join(f"{k} {v:.4g}" for k, v in cells.items()))
        bar.note(success=f"{scores['success_window']:.1%}")

    def _evaluate(self, board: SummaryWriter, bar: Bar, stopping: Callable[[], bool]) -> None:
        """Every so many steps: greedy and sampled success in validation houses; keeps the best greedy one."""
        options = self.options
        due = 1 + self.steps // options.evaluate_every if options.evaluate_every else 0
        if self.evaluated >= due:
            return
        before, self.evaluated = self.evaluated, due
        candidate = self.folder / "candidate.pt"
        save(candidate, "policy", self.payload())
        judged = EvaluateOptions(
            candidate, options.evaluate_episodes, max_steps=options.evaluate_steps, workers=options.workers
        )
        results = {one: evaluate(judged, one, stopping)["simulated"] for one in ("greedy", "sample")}
        if stopping():
            self.evaluated = before  # a resumed run does it again
            return
        success = {name: one["success"] for name, one in results.items()}
        for name, value in success.items():
            board.add_scalar(f"validation/{name}", value, self.steps)
        bar.say(f"validation at {self.steps} steps: " + ", ".join(f"{k} {v:.1%}" for k, v in success.items()))
        if success["greedy"] > self.best:
            self.best = success["greedy"]
            self._save("best.pt")
        candidate.unlink()
        self._save("last.pt")

    def _save(self, name: str) -> None:
        save(self.folder / name, "policy", self.payload())


def _comparable(options: PpoOptions) -> dict[str, Any]:
    """The options that a resumed run must share, as plain values."""
    free = ("resume", "threads", "workers", "save_every_s", "run", "name", "clone", "steps", "evaluate_every")
    return {name: value for name, value in asdict(options).items() if name not in free}
