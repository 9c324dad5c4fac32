"""Time of one run of a bundle's graph on each device that this onnxruntime has, and how far its answers are apart.

    python -m benchmarks.server.devices BUNDLE

The packages onnxruntime, onnxruntime-gpu and onnxruntime-openvino exclude one another; each has the processor's own
kernels too. Every round runs the same observation once on each device, one after the other, so that a change of load
meets all of them.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import tyro

from benchmarks.machine import cpu
from policy_server.bundle import Feed, PolicyBundle
from policy_server.graph_inputs import StepValues
from policy_server.onnx.devices import DEVICES


@dataclass(frozen=True)
class Benchmark:
    """Measures one bundle."""

    bundle: tyro.conf.Positional[Path]
    """The bundle to run."""
    rounds: int = 200
    """Runs on each device, warm-up not counted."""
    threads: int = 0
    """Threads of one run; 0 for one per core."""
    instruction: str = "find a mug"
    """What the policy is asked to do."""


class Episode:
    """A bundle in an episode of random images."""

    def __init__(self, bundle: PolicyBundle, instruction: str) -> None:
        self._bundle = bundle
        self._text = bundle.encode_text(instruction, 10_000)
        self._state: Feed = bundle.initial_state()
        self._step = 0
        self.seconds: list[float] = []

    def run(self, images: dict[str, Any], state: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Answers one observation, and keeps how long that took."""
        tokens = self._bundle.manifest.previous_action
        values = StepValues(images, state, self._text, tokens.start if tokens else 0, self._step)
        began = time.perf_counter()
        answer, self._state = self._bundle.run(values, self._state)
        self.seconds.append(time.perf_counter() - began)
        self._step += 1
        if self._step == self._bundle.manifest.spec.horizon:
            self._step, self._state = 0, self._bundle.initial_state()
        return answer


def main() -> None:
    """Runs the benchmark and prints a table."""
    args = tyro.cli(Benchmark, description=__doc__)
    here = [name for name, device in DEVICES.items() if device.provider in ort.get_available_providers()]
    bundles = {name: PolicyBundle.load(args.bundle, threads=args.threads, device=name) for name in here}
    for bundle in bundles.values():
        bundle.warm_up()
    episodes = {name: Episode(bundle, args.instruction) for name, bundle in bundles.items()}
    spec, random = next(iter(bundles.values())).manifest.spec, np.random.default_rng(0)
    apart = dict.fromkeys(here, 0.0)
    for _ in range(args.rounds):
        images = {one.name: random.integers(0, 256, (one.height, one.width, 3), dtype=np.uint8) for one in spec.cameras}
        state = np.array(spec.state.low, np.float32)
        answers = {name: episode.run(images, state) for name, episode in episodes.items()}
        for name, answer in answers.items():
            apart[name] = max(apart[name], float(np.abs(answer - answers["cpu"]).max()))
    print(f"machine: {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"onnxruntime {ort.__version__}, {args.rounds} rounds, p50 and p99 [ms], share of cpu, largest difference\n")
    usual = float(np.median(episodes["cpu"].seconds))
    for name, episode in episodes.items():
        p50, p99 = np.percentile(np.array(episode.seconds) * 1000, [50, 99])
        print(f"{name:<10}{p50:9.2f}{p99:9.2f}     {p50 / 1000 / usual:7.2f}  {apart[name]:.1e}")


if __name__ == "__main__":
    main()
