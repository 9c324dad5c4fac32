"""`ferry train sft`: supervised fine-tuning of a vision-language-action policy on demonstrations.

As in SimpleVLA-RL (Li et al. 2025, arXiv:2509.09674): cross-entropy on action tokens, all tokens of a chunk decoded in
parallel, one third-person image and the instruction, no proprioception by default. Different: the small network is
trained from scratch, and its words and scales come from the demonstrations.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import tyro
from torch import Tensor
from torch.nn import functional

from robots.processes.text import counted
from simulation.demonstrations.demonstration import Demonstration
from training.errors import ConfigError, Diverged
from training.rl.log import Log, opened
from training.runtime.checkpoint import expect_new, expect_options, load, save
from training.runtime.commit import git_commit
from training.runtime.distributed import Ranks, alone, device_of, torchrun
from training.runtime.interrupt import stop_request
from training.runtime.learning_rate import lr_factor
from training.runtime.options import RunOptions
from training.runtime.sharding import clip_gradients, load_optimiser, load_whole, whole, whole_optimiser
from training.vla.policy.checkpoint import KIND, load_policy
from training.vla.policy.compute_options import ComputeOptions
from training.vla.policy.config import preset
from training.vla.policy.model import new_vla
from training.vla.policy.placement import place
from training.vla.sft.data import SftData, action_error, config_of, epoch_order, read_demonstrations, validation_split
from training.vla.sft.lerobot_demonstrations import PublicLayout


@dataclass(frozen=True)
class SftOptions(ComputeOptions, RunOptions):
    """Fine-tunes a policy on demonstrations."""

    run: Path = Path("runs/vla")
    """Folder of the run."""
    name: str = "sft"
    """Folder in the run for the checkpoint (last.pt) and TensorBoard files."""
    save_every_s: float = 60.0
    """Seconds between checkpoints."""
    data: tuple[str, ...] = ("demonstrations",)
    """Folders of the run, or anywhere, with demonstrations: Ferry's own, LIBERO's *_demo.hdf5, RLDS, or LeRobot's."""
    tasks: tuple[int, ...] = ()
    """Indices in their suite of the tasks to train on; those of all demonstrations by default."""
    each: int = 0
    """Demonstrations of each task to train on; 0 for all."""
    balanced: bool = True
    """Tasks take turns, however long their demonstrations are; without it each step comes once in an epoch."""
    drop_idle: bool = False
    """Leave out actions of LIBERO's files that do nothing, as OpenVLA does."""
    lerobot: PublicLayout = field(default_factory=PublicLayout)
    hold_out: int = 20
    """One in this many demonstrations is kept for validation; where there are fewer, all validate as well."""
    start: Path | None = None
    """Checkpoint to start from, whose words, scales and sizes stay; untrained weights by default."""
    lora_rank: int = 0
    """Rank of the adapters (LoRA) that alone are trained in an imported policy (OpenVLA: 32); 0 for all its weights."""
    size: str = "mini"
    """Policy size: mini."""
    proprio: bool = False
    """Let the policy see the hand's position and the fingers'."""
    film: bool = False
    """Let the instruction scale and shift the visual features: for tasks that it alone tells apart."""
    scale_gripper: bool = True
    """Scale the last dimension like the others; without it, it is taken as it is, as in OpenVLA."""
    smoothing: float = 0.0
    """Standard deviation of the tokens' targets, in bins: neighbours of the right one are nearly right; 0 for the right
    one alone, as published."""
    updates: int = 1200
    batch: int = 32
    """Steps of demonstrations per update."""
    lr: float = 5e-4
    """Peak learning rate; it rises, then falls to 0 (OneCycle)."""
    warmup: float = 0.1
    """Fraction of the updates in which the learning rate rises."""
    weight_decay: float = 1e-2
    max_grad_norm: float = 1.0
    """The gradient is clipped to this norm."""
    validate_every: int = 250
    """Updates between validations."""

    free: ClassVar[frozenset[str]] = RunOptions.free | {"validate_every", "start", "sharded"}


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train sft`."""
    options = tyro.cli(SftOptions, args=list(argv), prog="ferry train sft")
    torch.set_num_threads(options.threads)
    folders = [options.run / folder for folder in options.data]
    with torchrun(device_of(options.device)) as ranks:
        if not options.resume:
            ranks.from_first(lambda: expect_new(options.last))
        demonstrations = read_demonstrations(folders, options.each, options.drop_idle, options.lerobot, options.tasks)
        trainer = Trainer(options, demonstrations, shlex.join(["ferry", "train", "sft", *argv]), ranks)
        if options.resume:
            trainer.resume()
        with stop_request() as stopping:
            trainer.run(stopping)
        if ranks.first:
            accuracy = f"{trainer.scores.get('accuracy', float('nan')):.1%}"
            print(f"{trainer.last}: {accuracy} of the validation tokens after {counted(trainer.step, 'update')}")
    return 0


class Trainer:
    """Supervised fine-tuning, update by update; `payload` holds everything that a resumed run needs."""

    def __init__(
        self,
        options: SftOptions,
        demonstrations: Sequence[Demonstration],
        command: str = "",
        ranks: Ranks | None = None,
    ) -> None:
        if options.batch < 1 or options.validate_every < 1:
            raise ConfigError("batch, validate_every", (options.batch, options.validate_every), "at least 1 each")
        self.ranks = ranks or alone()
        self.options, self.command, self.commit = options, command, git_commit()
        train, validation = validation_split(demonstrations, options.hold_out)
        if options.start is None:
            base = config_of(train, proprio=options.proprio, scale_gripper=options.scale_gripper)
            self.policy = new_vla(replace(preset(options.size, base), film=options.film), options.seed)
        else:
            self.policy = load_policy(options.start)
            if options.lora_rank:
                from training.vla.policy.lora import add_lora

                torch.manual_seed(options.seed)
                self.policy = add_lora(self.policy, options.lora_rank)
        self.train_set, self.held_out = SftData.of(train, self.policy), SftData.of(validation, self.policy)
        self.demonstrations = len(train)
        self.device = device_of(options.device)
        place(self.policy, options, self.device, self.ranks.count)
        self.trained = [parameter for parameter in self.policy.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(self.policy.parameters(), options.lr, weight_decay=options.weight_decay)
        factor = lr_factor("onecycle", options.updates, max(1, round(options.warmup * options.updates)))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, factor)
        self.step, self.scores = 0, dict[str, float]()
        if len(self._steps()) < self.ranks.count:
            raise ConfigError("batch", len(self._steps()), f"at least one step for each of {self.ranks.count} ranks")

    @property
    def last(self) -> Path:
        """Checkpoint that a resumed run continues from."""
        return self.options.last

    def run(self, stopping: Callable[[], bool] = lambda: False, updates: int | None = None) -> None:
        """Trains to the end, for `updates` updates, or until `stopping()`: then KeyboardInterrupt after a checkpoint.

        Raises:
            Diverged: the loss is NaN or infinite; last.pt is from before.
        """
        options = self.options
        end = options.updates if updates is None else min(options.updates, self.step + updates)
        saved_s, stopped = time.monotonic(), self.ranks.any(stopping())
        with opened(self.last.parent, options.updates, self.step, self.ranks.first, "sft", "updates") as log:
            while self.step < end and not stopped:
                self._update(self._steps(), log)
                log.advance(1)
                if self.step % options.validate_every == 0 or self.step == options.updates:
                    self._validate(log)
                if self.ranks.is_over(saved_s + options.save_every_s):
                    self._save()
                    saved_s = time.monotonic()
                stopped = self.ranks.any(stopping())
            self._save()
        if stopped:
            raise KeyboardInterrupt

    def _steps(self) -> npt.NDArray[np.int64]:
        """Returns the steps of this update, in the order of its epoch, which is drawn from seed and epoch."""
        tasks, balanced = self.train_set.tasks, self.options.balanced
        length = len(tasks) // len(np.unique(tasks)) * len(np.unique(tasks)) if balanced else len(tasks)
        size = min(self.options.batch, length)
        epoch, position = divmod(self.step, length // size)
        order = epoch_order(np.random.default_rng([self.options.seed, epoch]), tasks, balanced)
        return order[position * size : (position + 1) * size]

    def _update(self, steps: npt.NDArray[np.int64], log: Log) -> None:
        """Makes one optimiser step; each rank has its part of the steps, and gradients are added up."""
        self.policy.train()
        own = steps[self.ranks.rank :: self.ranks.count]
        images, words, proprio, tokens = self._batch(self.train_set, own)
        self.optimiser.zero_grad()
        loss = token_loss(self.policy(images, words, proprio), tokens, self.options.smoothing)
        share = loss * (len(own) / len(steps))
        share.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        loss = self.ranks.add_up([] if self.policy.sharded else self.trained, share)
        if not torch.isfinite(loss):
            raise Diverged(self.step, loss.item(), self.last)
        clip_gradients(self.trained, self.options.max_grad_norm)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        if self.step % 20 == 0:
            rate = float(self.schedule.get_last_lr()[0])
            log.curves("train", {"loss": loss.item(), "learning_rate": rate}, self.step)

    def _validate(self, log: Log) -> None:
        """Measures the loss, the fraction of tokens that are right, and how far the actions are off, on each rank."""
        self.policy.eval()
        sums = np.zeros(3)
        for steps in np.array_split(np.arange(len(self.held_out)), -(-len(self.held_out) // 64)):
            images, words, proprio, tokens = self._batch(self.held_out, steps)
            with torch.no_grad():  # FSDP's layers are used again
                logits = self.policy(images, words, proprio)
                chosen = logits.argmax(-1)
                right = float((chosen == tokens).float().mean())
                error = action_error(self.policy.tokenizer, chosen.cpu(), tokens.cpu())
                sums += len(steps) * np.array([token_loss(logits, tokens).item(), right, error])
        names = ("loss", "accuracy", "action_error")
        self.scores = dict(zip(names, (sums / len(self.held_out)).tolist()))
        log.curves("validation", self.scores, self.step)
        log.write(f"update {self.step}: validation " + ", ".join(f"{name} {v:.4f}" for name, v in self.scores.items()))

    def _batch(self, data: SftData, steps: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        images, words, proprio, tokens = (tensor.to(self.device) for tensor in data.batch(steps))
        return images, words, proprio, tokens

    def resume(self) -> None:
        """Restores the state in last.pt: weights, optimiser, schedule and progress.

        Raises:
            CheckpointError: last.pt is missing, or was made with other options.
        """
        payload = self.ranks.from_first(lambda: load(self.last, KIND))
        before = {**SftOptions().comparable(), "balanced": False}  # what a run without an option did
        expect_options(self.last, payload["training"], self.options.comparable(), before)
        expect_options(
            self.last,
            {"steps of demonstrations": payload["data_steps"]},
            {"steps of demonstrations": len(self.train_set)},
        )
        load_whole(self.policy, payload["weights"])
        load_optimiser(self.optimiser, payload["optimiser"])
        self.schedule.load_state_dict(payload["schedule"])
        self.step, self.scores = payload["updates"], payload["validation"]

    def payload(self) -> dict[str, Any]:
        """Returns the checkpoint's content, on rank 0."""
        keep = self.ranks.first
        return {
            "policy": self.policy.config.to_json(),
            "weights": whole(self.policy.state_dict(), keep),
            "algorithm": "supervised fine-tuning",
            "training": self.options.comparable(),
            "start": str(self.options.start or ""),
            "demonstrations": self.demonstrations,
            "data_steps": len(self.train_set),
            "seed": self.options.seed,
            "git_commit": self.commit,
            "command": self.command,
            "optimiser": whole_optimiser(self.optimiser, keep),
            "schedule": self.schedule.state_dict(),
            "updates": self.step,
            "validation": self.scores,
        }

    def _save(self) -> None:
        """Writes last.pt, on rank 0; all ranks call it together."""
        payload = self.payload()
        if self.ranks.first:
            save(self.last, KIND, payload)


def token_loss(logits: Tensor, tokens: Tensor, smoothing: float = 0.0) -> Tensor:
    """Computes the mean cross-entropy [nat] of tokens (...) under logits (..., bins).

    With `smoothing` the target of a token is a Gaussian over the bins around it, of that standard deviation in bins.
    """
    if not smoothing:
        return functional.cross_entropy(logits.flatten(0, -2), tokens.flatten())
    bins = torch.arange(logits.shape[-1], device=logits.device)
    targets = torch.softmax(-0.5 * ((bins - tokens[..., None]) / smoothing) ** 2, dim=-1)
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten(0, -2))
