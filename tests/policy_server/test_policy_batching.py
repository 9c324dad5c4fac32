"""Several sessions in one run of a graph: the same answers, one bad request fails alone, or it is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from batch_bundles import POISONED, STEPS, write_batch_bundle
from bundles import write_tiny_bundle
from foreign_bundles import arm, seen
from servers import ferry_serve, wait_until

from policy_server.batched_bundle import FLOOR, TOLERANCE, BatchedBundle
from policy_server.bundle import PolicyBundle
from policy_server.client import PolicyClient
from policy_server.errors import BundleError, NotFinite
from policy_server.loader import load_bundle
from policy_server.onnx_policy import OnnxPolicy, OnnxSession
from policy_server.serve import main
from policy_server.serving.service import Service, ServiceOptions
from robots.observation import Observation

SESSIONS, MOST = 6, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("bundle")
    write_batch_bundle(path)
    return path


class Held:
    """A graph whose first run waits, so that the requests of the others gather."""

    def __init__(self, session: Any) -> None:
        self._session, self.released, self.began = session, threading.Event(), threading.Event()

    def run(self, outputs: Sequence[str], feed: Any) -> Any:
        self.began.set()
        assert self.released.wait(30)
        return self._session.run(outputs, feed)


def observation(number: int, step: int = 0) -> Observation:
    return seen(grey=10 + 30 * number + step, joint=-1.0 + 0.3 * number, wrist=40 * number)


def alone(folder: Path, steps: int) -> list[list[np.ndarray]]:
    """The answers of each session's steps, unbatched."""
    policy = OnnxPolicy(PolicyBundle.load(folder, threads=1))
    episodes = [policy.open(arm(), "find a mug") for _ in range(SESSIONS)]
    return [[chunk(one.act(observation(i, step))) for step in range(steps)] for i, one in enumerate(episodes)]


def chunk(decision: Any) -> np.ndarray:
    assert decision.chunk is not None
    return np.asarray(decision.chunk)


def together(bundle: BatchedBundle, calls: Sequence[tuple[OnnxSession, Observation]], held_s: float = 0.0) -> list[Any]:
    """The decisions, or errors, of requests that are answered in as few runs as there can be after a first one, which
    takes `held_s` longer."""
    held = Held(bundle.policy.session)
    bundle.policy.session = held
    with ThreadPoolExecutor(len(calls)) as pool:
        first = pool.submit(calls[0][0].act, calls[0][1])
        assert held.began.wait(30)
        rest = [pool.submit(episode.act, what) for episode, what in calls[1:]]
        wait_until(lambda: bundle.policy.waiting == len(rest))
        time.sleep(held_s)
        held.released.set()
        return [each.exception() or each.result() for each in (first, *rest)]


def batched(folder: Path) -> BatchedBundle:
    bundle = load_bundle(folder, threads=1, batch=MOST)
    assert isinstance(bundle, BatchedBundle)
    bundle.warm_up()
    return bundle


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    return bool((np.abs(got - expected) <= TOLERANCE * np.abs(expected).max() + FLOOR).all())


def test_answers_are_the_same_in_fewer_runs(folder: Path) -> None:
    bundle, expected = batched(folder), alone(folder, 3)
    episodes = [OnnxPolicy(bundle).open(arm(), "find a mug") for _ in range(SESSIONS)]
    session = bundle.policy.session
    for step in range(3):
        runs = bundle.policy.runs
        bundle.policy.session = session
        answers = together(bundle, [(one, observation(i, step)) for i, one in enumerate(episodes)])
        assert bundle.policy.runs - runs == 3  # the first alone, then four, then the last one
        for got, each in zip(answers, expected, strict=True):
            assert close(chunk(got), each[step])  # also of the memory, from step to step


def test_the_wait_for_others_is_no_inference(folder: Path) -> None:
    bundle = batched(folder)
    episodes = [OnnxPolicy(bundle).open(arm(), "find a mug") for _ in range(1 + MOST)]
    first, *late = together(bundle, [(one, observation(i)) for i, one in enumerate(episodes)], held_s=0.5)
    assert first.timing_s["inference"] >= 0.5
    for one in late:  # a run of four, after the first one's
        assert one.timing_s["wait"] >= 0.5
        assert one.timing_s["inference"] + one.timing_s["wait"] <= one.timing_s["total"]
    shares = [one.timing_s["inference"] for one in late]
    assert max(shares) - min(shares) < 0.01  # each has its part of the run
    assert sum(shares) <= min(one.timing_s["total"] for one in late)


def test_one_request_alone_is_answered_at_once_and_exactly(folder: Path) -> None:
    episode = OnnxPolicy(batched(folder)).open(arm(), "find a mug")
    for step, expected in enumerate(alone(folder, 3)[0]):
        np.testing.assert_array_equal(chunk(episode.act(observation(0, step))), expected)


def test_a_request_whose_answer_is_nan_fails_alone(folder: Path) -> None:
    bundle, expected = batched(folder), alone(folder, 1)
    episodes = [OnnxPolicy(bundle).open(arm(), "find a mug") for _ in range(4)]
    poisoned = replace(observation(2), state=seen(joint=POISONED).state)
    what = [observation(0), observation(1), poisoned, observation(3)]
    answers = together(bundle, list(zip(episodes, what, strict=True)))
    assert isinstance(answers[2], NotFinite)
    assert episodes[2].step == 0  # as before
    for index in (0, 1, 3):
        assert close(chunk(answers[index]), expected[index][0])


def test_a_request_at_which_the_graph_fails_fails_alone(folder: Path) -> None:
    bundle, expected = batched(folder), alone(folder, 1)
    episodes = [OnnxPolicy(bundle).open(arm(), "find a mug") for _ in range(4)]
    episodes[1].step = STEPS  # a number that the graph does not have
    answers = together(bundle, [(one, observation(i)) for i, one in enumerate(episodes)])
    assert isinstance(answers[1], Exception)
    for index in (0, 2, 3):
        assert close(chunk(answers[index]), expected[index][0])


def test_requests_of_other_shapes_are_run_apart(folder: Path) -> None:
    bundle, expected = batched(folder), alone(folder, 1)
    words = ("go", "find a mug", "find a mug", "go", "find a mug")
    episodes = [OnnxPolicy(bundle).open(arm(), text) for text in words]
    runs = bundle.policy.runs
    answers = together(bundle, [(one, observation(i)) for i, one in enumerate(episodes)])
    assert bundle.policy.runs - runs == 3
    for got, each in zip(answers, expected, strict=False):
        assert close(chunk(got), each[0])


def test_a_fixed_batch_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_batch_bundle(tmp_path / "fixed", fixed=True)
    write_tiny_bundle(tmp_path / "tiny")
    for name, output in (("fixed", "actions"), ("tiny", "logits")):
        assert main([str(tmp_path / name), "--batch", "4"]) == 2
        error = capsys.readouterr().err
        assert f"policy.onnx: got a batch of 1 in '{output}', expected a dynamic one" in error
        assert "without --batch" in error


def test_a_graph_that_mixes_its_batch_is_refused(tmp_path: Path) -> None:
    write_batch_bundle(tmp_path, mixes=True)
    bundle = load_bundle(tmp_path, threads=1, batch=MOST)
    with pytest.raises(BundleError, match="mixes the requests of a batch") as error:
        bundle.warm_up()
    assert error.value.code == "batch"
    PolicyBundle.load(tmp_path, threads=1).warm_up()  # served alone, it is as good as any


def test_a_bundle_that_is_swapped_in_is_batched_too_or_refused(folder: Path, tmp_path: Path) -> None:
    write_batch_bundle(tmp_path / "mixes", mixes=True)
    write_batch_bundle(tmp_path / "good", name="another")
    service = Service(batched(folder), ServiceOptions(batch=MOST))
    with pytest.raises(BundleError, match="mixes"):
        service.admit(service.policy, tmp_path / "mixes")
    assert isinstance(service.admit(service.policy, tmp_path / "good"), BatchedBundle)


def test_a_server_that_batches_answers_as_one_that_does_not(folder: Path) -> None:
    steps, expected = 4, alone(folder, 4)
    with ferry_serve(folder, "--batch", str(MOST)) as (url, _), PolicyClient(url, timeout_s=25) as client:
        episodes = [client.open(arm(), "find a mug") for _ in range(SESSIONS)]

        def run(index: int) -> list[np.ndarray]:
            return [chunk(episodes[index].act(observation(index, step))) for step in range(steps)]

        with ThreadPoolExecutor(SESSIONS) as pool:
            for got, each in zip(pool.map(run, range(SESSIONS)), expected, strict=True):
                assert all(close(one, other) for one, other in zip(got, each, strict=True))
        metrics = dict(line.split(" ") for line in httpx.get(f"{url}/metrics").text.splitlines() if line[0] != "#")
        decisions, runs = float(metrics["ferry_batched_decisions"]), float(metrics["ferry_batched_runs"])
        assert decisions == SESSIONS * steps
        assert decisions / MOST <= runs <= decisions
