"""One run of a graph for the decisions of several sessions, where the graph's batch is dynamic.

Nothing waits for company: a request that finds the graph idle runs at once, alone. Those that arrive while it runs are
run together next, in the order in which they came.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from policy_server.errors import BundleError

Tensor = npt.NDArray[Any]
Shapes = tuple[tuple[int, ...], ...]
HOW = "export the graph with a dynamic batch, or serve it without --batch"


def batch_axes(session: ort.InferenceSession, outputs: Sequence[str], file: str) -> dict[str, int]:
    """Returns the axis of the batch in each input, and in each of `outputs`.

    BundleError "batch" for a graph whose batch is fixed, or does not stand once in each of them: the batch is the size
    with the name that the first axis of the first output has.
    """
    produced = {node.name: node for node in session.get_outputs()}
    first = produced[outputs[0]]
    size = first.shape[0]
    if not isinstance(size, str) or not size:
        raise BundleError(
            f"{file}: got a batch of {size} in '{first.name}', expected a dynamic one: {HOW}", code="batch"
        )
    axes = {}
    for node in [*session.get_inputs(), *(produced[name] for name in outputs)]:
        found = [axis for axis, one in enumerate(node.shape) if one == size]
        if len(found) != 1:
            sizes = ", ".join(map(str, node.shape))
            raise BundleError(f"{file}: got '{node.name}' ({sizes}), expected '{size}' once in it: {HOW}", code="batch")
        axes[node.name] = found[0]
    return axes


@dataclass(eq=False)
class _Job:
    feed: Mapping[str, Tensor]
    shapes: Shapes
    outputs: list[Tensor] = field(default_factory=list)
    error: Exception | None = None
    done: bool = False
    inference_s: float = 0.0


class BatchedGraph:
    """A graph that several threads run at the same time; stands in for `onnxruntime.InferenceSession`.

    Args:
        session: the graph.
        axes: as `batch_axes` returns them.
        most: requests of one run.
    """

    def __init__(self, session: ort.InferenceSession, axes: Mapping[str, int], most: int) -> None:
        self.session, self.most = session, most
        self.runs = self.requests = 0
        """Runs of the graph, and the requests that they answered."""
        self._axes, self._waiting, self._running = axes, list[_Job](), False
        self._changed, self._of_thread = threading.Condition(), threading.local()

    @property
    def inference_s(self) -> float:
        """The share of the last request of this thread in its run [s]: the rest of its time was another's."""
        return float(self._of_thread.inference_s)

    @property
    def waiting(self) -> int:
        """Requests that wait for the run in progress to end."""
        with self._changed:
            return len(self._waiting)

    def run(self, outputs: Sequence[str], feed: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns the outputs for one request, whose batch is 1. Raises what onnxruntime raises for it alone."""
        job = _Job(feed, tuple(feed[name].shape for name in sorted(feed)))
        with self._changed:
            self._waiting.append(job)
            self._changed.wait_for(lambda: job.done or (not self._running and self._waiting[0] is job))
            group = [] if job.done else self._next(job.shapes)
            self._running = self._running or bool(group)
        if group:
            try:
                self._run(list(outputs), group)
            finally:
                with self._changed:
                    self._running = False
                    for one in group:
                        one.done = True
                    self._changed.notify_all()
        self._of_thread.inference_s = job.inference_s
        if job.error is not None:
            raise job.error
        return job.outputs

    def run_together(self, outputs: Sequence[str], feeds: Sequence[Mapping[str, Tensor]]) -> list[list[Tensor]]:
        """Returns the outputs for each of `feeds`, of one shape, from one run of the graph."""
        feed = {name: np.concatenate([one[name] for one in feeds], self._axes[name]) for name in feeds[0]}
        results = self.session.run(list(outputs), feed)
        # Copies: a view would keep the whole batch in memory for as long as one session keeps its state.
        parts = [np.split(result, len(feeds), self._axes[name]) for name, result in zip(outputs, results, strict=True)]
        return [[part[index].copy() for part in parts] for index in range(len(feeds))]

    def get_session_options(self) -> Any:
        """Returns those of the graph."""
        return self.session.get_session_options()

    def _next(self, shapes: Shapes) -> list[_Job]:
        """Takes the requests of the next run: the first one, and others of its shapes."""
        group = [one for one in self._waiting if one.shapes == shapes][: self.most]
        self._waiting = [one for one in self._waiting if one not in group]
        return group

    def _run(self, outputs: list[str], group: Sequence[_Job]) -> None:
        self.runs, self.requests = self.runs + 1, self.requests + len(group)
        if len(group) > 1:
            began = time.perf_counter()
            try:
                for job, answer in zip(group, self.run_together(outputs, [one.feed for one in group]), strict=True):
                    job.outputs = answer
                for job in group:
                    job.inference_s = (time.perf_counter() - began) / len(group)
                return
            except Exception:  # one of them is at fault: it shall fail alone
                self.runs += len(group)
        for job in group:
            began = time.perf_counter()
            try:
                job.outputs = self.session.run(outputs, dict(job.feed))
            except Exception as error:
                job.error = error
            job.inference_s = time.perf_counter() - began
