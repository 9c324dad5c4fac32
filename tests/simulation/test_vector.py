"""The vectorised runner keeps order, resets finished episodes, and outlives workers that die or hang."""

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest

from simulation.errors import SimulationError
from simulation.vector import VectorRunner, WorkerLost


class Counter(gymnasium.Env[dict[str, Any], np.int64]):
    """Counts its steps in a small image; action 7 kills its process, 8 freezes it, `length` steps end an episode."""

    observation_space = gymnasium.spaces.Dict(
        {
            "image": gymnasium.spaces.Box(0, 255, (4, 5, 3), np.uint8),
            "step": gymnasium.spaces.Discrete(100),
            "pid": gymnasium.spaces.Discrete(2**22),
        }
    )
    action_space = gymnasium.spaces.Discrete(10)

    def __init__(self, length: int = 3, broken: bool = False) -> None:
        self.length, self.broken, self.count, self.base = length, broken, 0, 0

    def observe(self) -> dict[str, Any]:
        return {"image": np.full((4, 5, 3), self.base + self.count, np.uint8), "step": self.count, "pid": os.getpid()}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict]:
        super().reset(seed=seed)
        if self.broken:
            os.kill(os.getpid(), signal.SIGKILL)
        self.base, self.count = int(self.np_random.integers(0, 100)), 0
        return self.observe(), {}

    def step(self, action: np.int64) -> tuple[dict[str, Any], float, bool, bool, dict]:
        if action in (7, 8):
            os.kill(os.getpid(), signal.SIGKILL if action == 7 else signal.SIGSTOP)
        self.count += 1
        return self.observe(), float(action), self.count == self.length and action == 1, self.count == self.length, {}


@pytest.fixture(scope="module")
def runner() -> Iterator[VectorRunner]:
    with VectorRunner(Counter, workers=2, envs_per_worker=2, step_timeout_s=3.0) as vector:
        yield vector


def test_observations_arrive_in_order(runner: VectorRunner) -> None:
    observation = runner.reset()
    assert observation["image"].shape == (4, 4, 5, 3)
    assert observation["image"].dtype == np.uint8
    assert observation["step"].tolist() == [0, 0, 0, 0]
    pids = observation["pid"].tolist()
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert os.getpid() not in pids


def test_each_environment_gets_its_own_action(runner: VectorRunner) -> None:
    runner.reset()
    step = runner.step([0, 1, 2, 3])
    assert step.reward.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert step.observation["step"].tolist() == [1, 1, 1, 1]
    assert step.replaced == ()


def test_a_finished_episode_is_followed_by_a_new_one(runner: VectorRunner) -> None:
    runner.reset()
    for _ in range(2):
        runner.step([0, 0, 0, 0])
    step = runner.step([1, 0, 0, 0])
    assert step.truncated.all()
    assert step.terminated.tolist() == [True, False, False, False]
    assert step.observation["step"].tolist() == [0, 0, 0, 0]
    assert [info["final_observation"]["step"] for info in step.info] == [3, 3, 3, 3]


def test_equal_seeds_give_equal_episodes() -> None:
    images = []
    for _ in range(2):
        with VectorRunner(Counter, workers=1, envs_per_worker=3, seed=5) as vector:
            images.append(vector.reset()["image"])
    np.testing.assert_array_equal(images[0], images[1])
    assert len(np.unique(images[0])) > 1


@pytest.mark.parametrize("fault", [7, 8], ids=["dies", "hangs"])
def test_a_worker_that_is_lost_is_replaced_and_the_others_go_on(runner: VectorRunner, fault: int) -> None:
    before = runner.reset()["pid"]
    runner.step([0, 0, 0, 0])
    replacements = runner.replacements
    step = runner.step([0, 0, fault, 0])
    assert step.replaced == (2, 3)
    assert step.truncated.tolist() == [False, False, True, True]
    assert step.observation["step"].tolist() == [2, 2, 0, 0]
    assert step.observation["pid"][0] == before[0]
    assert step.observation["pid"][2] != before[2]
    assert runner.replacements == replacements + 1
    assert runner.step([0, 0, 0, 0]).observation["step"][2] == 1


def test_a_worker_killed_between_steps_is_replaced(runner: VectorRunner) -> None:
    pids = runner.reset()["pid"]
    os.kill(int(pids[0]), signal.SIGKILL)
    assert runner.step([0, 0, 0, 0]).replaced == (0, 1)


def test_workers_that_keep_dying_are_reported() -> None:
    make = partial(Counter, broken=True)
    runner = VectorRunner(make, workers=1, envs_per_worker=1, max_replacements=2)
    with runner, pytest.raises(WorkerLost, match="2 replaced, expected at most 2"):
        runner.reset()


def test_a_wrong_number_of_actions_is_refused(runner: VectorRunner) -> None:
    with pytest.raises(SimulationError, match="actions: got 3, expected 4"):
        runner.step([0, 0, 0])


def test_no_worker_is_left_behind() -> None:
    with VectorRunner(Counter, workers=1, envs_per_worker=1) as vector:
        pid = int(vector.reset()["pid"][0])
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")
