"""Latency of each dialect over the bare onnxruntime call, requests interleaved in one run.

    python -m benchmarks.server.dialect_latency           # a small bundle, made for it
    python -m benchmarks.server.dialect_latency BUNDLE    # of chunks, without a memory, 7 joints and a gripper

Each round makes one decision in every way, one after the other: the bare call, in this process, Ferry's client, and
each dialect through Ferry's client of it (`policy_server.foreign`), each against a `ferry serve` process of its own.
OpenVLA's protocol takes no state in its first form; a bundle with one is asked in OpenVLA-OFT's.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import tyro

from benchmarks.server.batch_graph import write_bundle_with_batch
from benchmarks.server.bodies import body_for, observation_for
from benchmarks.server.serve import Benchmark, Counting, Way, bare, measure, report, session_way
from benchmarks.server.servers import served
from policy_server.bundle import PolicyBundle
from policy_server.client import PolicyClient
from policy_server.dialects.contract import Dialect
from policy_server.dialects.contract_file import contract_of
from policy_server.errors import ContractError
from policy_server.foreign.connect import connect
from policy_server.onnx_policy import OnnxPolicy

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Dialects:
    """Measures the dialects of one server."""

    bundle: tyro.conf.Positional[Path | None] = None
    """The bundle to serve; a small one is made when none is given."""
    rounds: int = 300
    """Decisions per way, warm-up not counted."""
    warm_up: int = 20
    """Decisions per way before measuring."""
    threads: int = 0
    """Threads of one inference; 0 for one per core."""
    dialects: tuple[Dialect, ...] = get_args(Dialect)
    """Dialects to measure."""


def main() -> None:
    """Runs the benchmark and prints a table."""
    args = tyro.cli(Dialects, description=__doc__)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = args.bundle or write_bundle_with_batch(Path(folder) / "bundle", layers=1)
        bundle = PolicyBundle.load(path, threads=args.threads)
        body, text = body_for(bundle.manifest), "find a mug"
        seen = observation_for(body)
        ferry = PolicyClient(stack.enter_context(served(path, threads=args.threads)).url, timeout_s=TIMEOUT_S)
        stack.enter_context(ferry)
        ways: dict[str, tuple[Way, Counting | None]] = {
            "onnxruntime alone": (bare(bundle, body, seen, text), None),
            "in this process": (session_way(lambda: OnnxPolicy(bundle).open(body, text), seen, None), None),
            "ferry": (session_way(lambda: ferry.open(body, text), seen, None), None),
        }
        for dialect in args.dialects:
            try:
                contract = contract_of(bundle.manifest, dialect)
            except ContractError as error:
                print(f"{dialect}: left out: {error}")
                continue
            server = stack.enter_context(served(path, threads=args.threads, dialect=dialect))
            policy = stack.enter_context(connect(server.dialect_url, contract, timeout_s=TIMEOUT_S))
            ways[dialect] = (session_way(partial(policy.open, body, text), seen, None), None)
        benchmark = Benchmark(path, args.rounds, args.warm_up, args.threads, instruction=text)
        results = measure(ways, bundle.manifest.spec.horizon, benchmark)
        report(bundle, body, results, benchmark)


if __name__ == "__main__":
    main()
