"""`ferry train bc`: behaviour cloning as SPOC does it (Ehsani et al. 2023, "Imitating Shortest Paths in Simulation").

Cross-entropy on the expert's action at every step of whole episodes, the image encoder frozen, AdamW. As in SPOC and
FLaRe: the network, whole-episode context, previous executed action, in-hand flag and time as inputs. Different:
features are computed once and stored, several episodes are packed into one row, and `mini`'s text table is trained
with the rest.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import tyro

from robots.processes.text import counted
from training.bundles.start import load_policy
from training.data.features import encoder_name, run_encoder
from training.data.packing import Batch, Instructions, collate, epoch_batches
from training.data.shards import Episodes, expect_encoder, load_shards, read_metadata, shard_files
from training.errors import CheckpointError, Diverged
from training.imitation.collect import FOLDER
from training.imitation.loss import Scores, batch_logits, imitation_loss
from training.imitation.recorded import data_folders
from training.models.config import PolicyConfig, preset
from training.models.tokenizer import tokenizer_for
from training.runtime.checkpoint import (
    expect_new,
    expect_options,
    load,
    new_policy,
    policy_from,
    policy_payload,
    random_state,
    save,
    set_random_state,
)
from training.runtime.commit import git_commit
from training.runtime.distributed import device_of
from training.runtime.interrupt import stop_request
from training.runtime.learning_rate import lr_factor
from training.runtime.options import RunOptions
from training.runtime.progress import Bar

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FORMER_NAMES: Mapping[str, str] = MappingProxyType({"clip": "max_grad_norm"})
"""Names of options in checkpoints that were written before they were renamed -> names now."""


@dataclass(frozen=True)
class BcOptions(RunOptions):
    """Clones the expert's decisions."""

    name: str = "bc"
    """Folder in the run for checkpoints (last.pt, best.pt) and TensorBoard files."""
    data: tuple[str, ...] = (FOLDER,)
    """Folders of the run, or anywhere, with shards (e.g. data dagger) or a dataset of `ferry export-dataset`."""
    any_outcome: bool = False
    """Learn from recorded trials that were no success, too."""
    init: Path | None = None
    """Checkpoint or bundle of `mini` whose weights to start from; untrained ones by default. A bundle, and what `ferry
    import --checkpoint` wrote, have their own size, and take the data that `ferry train dagger` collects with them."""
    size: str = "mini"
    """Policy size: mini or small_3."""
    epochs: int = 8
    rows: int = 4
    """Rows per update."""
    context: int = 256
    """Steps per row; an episode is never cut."""
    lr: float = 1e-3
    """Peak learning rate; SPOC's small_3 is trained with 2e-4."""
    schedule: str = "onecycle"
    """onecycle, or constant after the warm-up."""
    warmup: float = 0.1
    """Fraction of the updates in which the learning rate rises."""
    weight_decay: float = 1e-2
    max_grad_norm: float = 1.0
    """The gradient is clipped to this norm."""
    hold_out: int = 40
    """One in this many shards is kept for validation."""
    bf16: bool = True
    """Matrix products in bfloat16."""
    weights: str | None = None
    """Source of DINOv2's and T5's weights; "" for random ones."""

    free: ClassVar[frozenset[str]] = RunOptions.free | {"init"}

    def folders(self) -> list[Path]:
        """Folders with the shards; those of a recorded dataset are made first. DataError, RobotError."""
        return data_folders(self.run, self.data, preset(self.size, self.weights), self.any_outcome)


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train bc`."""
    options = tyro.cli(BcOptions, args=list(argv), prog="ferry train bc")
    torch.set_num_threads(options.threads)
    if not options.resume:
        expect_new(options.last)
    files = shard_files(options.folders())
    held_out = files[:: options.hold_out] if len(files) > 1 else files
    trained_on = [path for path in files if path not in held_out] or files
    command = shlex.join(["ferry", "train", "bc", *argv])
    trainer = Trainer(options, load_shards(trained_on), load_shards(held_out), command)
    if options.resume:
        trainer.resume()
    with stop_request() as stopping:
        trainer.run(stopping)
    print(f"{trainer.folder / 'best.pt'}: validation loss {trainer.best:.3f} after {counted(trainer.step, 'update')}")
    return 0


class Trainer:
    """Behaviour cloning, step by step; `payload` holds everything that a resumed run needs."""

    def __init__(self, options: BcOptions, train: Episodes, held_out: Episodes, command: str = "") -> None:
        self.commit, self.command = git_commit(), command
        self.options, self.train_set, self.held_out = options, train, held_out
        self.folder = options.folder
        folders = options.folders()
        self.tasks = list(dict.fromkeys(name for folder in folders for name in read_metadata(folder, "task")))
        self.looks = max(read_metadata(folder, "looks") for folder in folders)
        initial = {} if options.init is None else load_policy(options.init)
        self.origin = initial.get("origin", {})
        config = preset(options.size, options.weights)
        if self.origin:
            config = PolicyConfig.from_json(initial["policy"])
        expect_encoder(folders, encoder_name(options.run, config, self.origin))
        self.policy = new_policy(config, options.seed)
        if not self.origin:  # it has its own encoder
            self.policy.image_encoder.load_state_dict(run_encoder(options.run, config).state_dict())
        if options.init is not None:
            self.policy = policy_from(initial, options.init)
        self.device = device_of(options.device)
        self.policy.to(self.device)
        tokenizer = tokenizer_for(config.text)
        self.words = {id(episodes): Instructions(episodes, tokenizer) for episodes in (train, held_out)}
        self.actions = config.spec().actions.names  # type: ignore[union-attr]  # discrete
        self.rng = np.random.default_rng(options.seed)
        self.per_epoch = len(self._batches(0))
        trained = [parameter for parameter in self.policy.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(trained, options.lr, weight_decay=options.weight_decay)
        total = options.epochs * self.per_epoch
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lr_factor(options.schedule, total, max(1, round(options.warmup * total)))
        )
        self.step, self.best, self.steps_seen = 0, float("inf"), 0

    def run(self, stopping: Callable[[], bool] = lambda: False, updates: int | None = None) -> None:
        """Trains to the end, for `updates` updates, or until `stopping()`: then KeyboardInterrupt after a checkpoint.

        Raises:
            Diverged: the loss is NaN or infinite; last.pt is from before.
        """
        from torch.utils.tensorboard import SummaryWriter

        total = self.options.epochs * self.per_epoch
        end = total if updates is None else min(total, self.step + updates)
        saved_s = time.monotonic()
        with (
            SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.step) as board,
            Bar("bc", total, "updates") as bar,
        ):
            bar.advance(self.step)
            while self.step < end:
                epoch, position = divmod(self.step, self.per_epoch)
                for rows in self._batches(epoch)[position:]:
                    self._update(rows, board, bar)
                    if self.step >= end or stopping():
                        break
                    if time.monotonic() - saved_s > self.options.save_every_s:
                        self._save("last.pt")
                        saved_s = time.monotonic()
                if self.step % self.per_epoch == 0:
                    self._validate(board, bar)
                self._save("last.pt")
                if stopping():
                    raise KeyboardInterrupt

    def resume(self) -> None:
        """Restores the state in last.pt: weights, optimiser, schedule, random numbers and progress.

        Raises:
            CheckpointError: last.pt is missing or was made with other options.
        """
        path = self.folder / "last.pt"
        payload = load(path, "policy")
        expect_options(path, payload["training"], self.options.comparable(), renamed=FORMER_NAMES)
        if payload["updates_per_epoch"] != self.per_epoch:
            raise CheckpointError(
                f"{path}: got {payload['updates_per_epoch']} updates per epoch, expected {self.per_epoch}"
            )
        self.policy.load_state_dict(payload["weights"])
        self.optimiser.load_state_dict(payload["optimiser"])
        self.schedule.load_state_dict(payload["schedule"])
        set_random_state(payload["random"], self.rng)
        self.step, self.best, self.steps_seen = payload["update"], payload["best"], payload["steps"]

    def payload(self) -> dict[str, Any]:
        """Returns the checkpoint's content."""
        return {
            **policy_payload(self.policy),
            "algorithm": "behaviour cloning",
            "training": self.options.comparable(),
            "tasks": self.tasks,
            "looks": self.looks,
            "episodes": len(self.train_set),
            "seed": self.options.seed,
            "steps": self.steps_seen,
            "git_commit": self.commit,
            "command": self.command,
            **({"origin": self.origin} if self.origin else {}),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": random_state(self.rng),
            "update": self.step,
            "updates_per_epoch": self.per_epoch,
            "best": self.best,
        }

    def _update(self, rows: list[list[int]], board: SummaryWriter, bar: Bar) -> None:
        self.policy.train()
        batch = collate(self.train_set, self.words[id(self.train_set)], rows, self.options.context).to(self.device)
        loss = imitation_loss(self._logits(self.train_set, batch), batch.labels)
        if not torch.isfinite(loss):
            raise Diverged(self.step, loss.item(), self.folder / "last.pt")
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.options.max_grad_norm)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        count = int((batch.trajectory >= 0).sum())
        self.steps_seen += count
        bar.steps(count)
        bar.advance()
        if self.step % 20 == 0:
            board.add_scalar("train/loss", loss.item(), self.step)
            board.add_scalar("train/gradient_norm", norm.item(), self.step)
            board.add_scalar("train/learning_rate", self.schedule.get_last_lr()[0], self.step)

    def _validate(self, board: SummaryWriter, bar: Bar) -> None:
        self.policy.eval()
        scores = Scores(self.actions)
        with torch.no_grad():
            for rows in epoch_batches(self.held_out, (0, 0), self.options.context, self.options.rows):
                batch = collate(self.held_out, self.words[id(self.held_out)], rows, self.options.context)
                scores.add(self._logits(self.held_out, batch.to(self.device)).cpu(), batch.labels)
        summary = scores.summary()
        for name, value in summary.items():
            board.add_scalar(f"validation/{name}", value, self.step)
        done = summary.get("recall/done", float("nan"))
        line = f"validation loss {summary['loss']:.4f}, accuracy {summary['accuracy']:.3f}, recall of done {done:.3f}"
        bar.write(f"epoch {self.step // self.per_epoch}: {line}")
        if summary["loss"] < self.best:
            self.best = summary["loss"]
            self._save("best.pt")

    def _logits(self, episodes: Episodes, batch: Batch) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bf16):
            return batch_logits(self.policy, batch, self.words[id(episodes)])

    def _batches(self, epoch: int) -> list[list[list[int]]]:
        return epoch_batches(self.train_set, (self.options.seed, epoch), self.options.context, self.options.rows)

    def _save(self, name: str) -> None:
        save(self.folder / name, "policy", self.payload())
