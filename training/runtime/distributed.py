"""Distributed training of one policy on several ranks: DD-PPO (Wijmans et al. 2020, arXiv:1911.00357).

Every rank has its own simulators and the same weights; gradients are summed over ranks, so the weights stay the same.
torchrun starts the ranks and sets their numbers. A single process is rank 0 of 1: nothing here has an effect then,
and torch.distributed is not set up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from training.errors import ConfigError, RanksLost

WAIT = timedelta(hours=2)
"""Timeout of collective operations: longer than rank 0's evaluation. A rank that ends is noticed at once."""

READ_S = 1.0
"""Interval of reading the counters that other ranks have posted."""

T = TypeVar("T")


class Ranks:
    """This process among the ranks of a training.

    Args:
        rank: number of this one; rank 0 logs, evaluates and writes checkpoints.
        count: number of ranks.
        store: of the counters that ranks post and read without waiting; needed with more than one rank.
    """

    def __init__(self, rank: int = 0, count: int = 1, store: Store | None = None) -> None:
        self.rank, self.count, self._store = rank, count, store
        self._read: dict[str, tuple[float, int]] = {}

    @property
    def first(self) -> bool:
        """True on rank 0."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """Gathers every rank's value, in the order of ranks; waits for all."""
        if self.count == 1:
            return [value]
        everyones: list[T] = [value] * self.count
        with self._together():
            dist.all_gather_object(everyones, value)
        return everyones

    def from_first(self, make: Callable[[], T]) -> T:
        """Calls `make()` on rank 0 alone and returns its result on every rank; the others wait."""
        made = [make() if self.first else None]
        if self.count > 1:
            with self._together():
                dist.broadcast_object_list(made, src=0)
        return made[0]  # type: ignore[return-value]  # rank 0's

    def is_over(self, end_s: float) -> bool:
        """Returns whether rank 0's monotonic clock is past `end_s`, on all ranks alike; waits for all."""
        return self.from_first(lambda: time.monotonic() > end_s)

    def any(self, flag: bool) -> bool:
        """Returns whether `flag` is set on any rank; waits for all."""
        return any(self.gather(flag))

    def add_up(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Replaces each parameter's gradient by the sum over ranks and returns the sum of `loss`; waits for all.

        A gradient that no rank has stays None: an optimiser leaves such a parameter as it is.
        """
        if self.count == 1:
            return loss
        has = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=loss.device)
        parts = [
            (torch.zeros_like(parameter) if parameter.grad is None else parameter.grad).flatten()
            for parameter in parameters
        ]
        total = torch.cat([*parts, has, loss.detach().reshape(1).float()])
        with self._together():
            dist.all_reduce(total)
        sizes = [parameter.numel() for parameter in parameters]
        *sums, has, loss = torch.split(total, [*sizes, len(parameters), 1])
        for parameter, grad, some in zip(parameters, sums, has.tolist()):
            parameter.grad = grad.view_as(parameter) if some else None
        return loss[0]

    def post(self, what: str) -> None:
        """Increments the counter `what`; does not wait."""
        if self._store is not None:
            with self._together():
                self._store.add(what, 1)

    def posted(self, what: str) -> int:
        """Returns the counter `what` over all ranks; up to a second old."""
        if self._store is None:
            return 0
        read_s, count = self._read.get(what, (-READ_S, 0))
        if time.monotonic() - read_s >= READ_S:
            with self._together():
                count = self._store.add(what, 0)
            self._read[what] = time.monotonic(), count
        return count

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Turns a lost connection to another rank into RanksLost."""
        try:
            yield
        except RuntimeError as error:  # gloo, NCCL and the store have no common error of their own
            reason = str(error).splitlines()[0]
            raise RanksLost(
                f"rank {self.rank} of {self.count}: another rank ended or does not answer ({reason}); see that rank's "
                "message for the cause"
            ) from error


def alone() -> Ranks:
    """Returns a single rank, for trainings that cannot run on several.

    Raises:
        ConfigError: torchrun started several.
    """
    if _count() > 1:
        raise ConfigError("ranks", _count(), "one, since this does not run on several")
    return Ranks()


def _count() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def torchrun(device: torch.device) -> Iterator[Ranks]:
    """Sets up the ranks that torchrun started; a single rank without it."""
    if _count() == 1:
        yield Ranks()
        return
    store, rank, count = next(rendezvous("env://", timeout=WAIT))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"  # objects always go through gloo
    group = PrefixStore("group", store)
    dist.init_process_group(backend, store=group, rank=rank, world_size=count, timeout=WAIT)
    try:
        yield Ranks(rank, count, PrefixStore("ferry", store))
    finally:
        dist.destroy_process_group()


def device_of(name: str) -> torch.device:
    """Returns the device of a name: cpu, cuda (one per rank), or auto for cuda where there is one.

    Raises:
        ConfigError: the device is unknown or not available.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError("device", repr(name), "one of auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device", "cuda", "cpu or auto, since torch finds no CUDA device here")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device
