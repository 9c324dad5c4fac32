"""Many environments in long-lived worker processes, one process per core, that outlive a worker's death.

A worker that dies or answers too late is killed and replaced; its environments start new episodes and the step says so.
Images come back through shared memory, everything small through a pipe.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from simulation.errors import SimulationError

CONTEXT = multiprocessing.get_context("spawn")  # fork copies GL contexts and thread pools in an unusable state
GENERATION_STRIDE = 1_000_003  # a replaced worker draws other episodes than the one that died

Array = npt.NDArray[Any]
MakeEnv = Callable[[], gymnasium.Env[Any, Any]]


class WorkerLost(SimulationError):
    """Workers die faster than they can be replaced."""


@dataclass(frozen=True)
class VectorStep:
    """One step of N environments.

    Attributes:
        observation: name -> (N, ...) array; after the end of an episode the first observation of the next one.
        reward: (N,) float64.
        terminated: (N,) bool.
        truncated: (N,) bool; also True for an episode that was lost with its worker.
        info: one dict per environment; at the end of an episode it holds `final_observation`.
        replaced: indices of the environments whose worker was replaced in this step; learn nothing from them.
    """

    observation: dict[str, Array]
    reward: npt.NDArray[np.float64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    info: tuple[dict[str, Any], ...]
    replaced: tuple[int, ...]


class VectorRunner:
    """`workers` processes with `envs_per_worker` environments each. Context manager.

    Args:
        make: makes one environment; called in the worker, so it must be picklable (a function or a partial).
        seed: environment i starts with `seed + i`; equal seeds give equal episodes.
        step_timeout_s: a worker that needs longer for one step of all its environments counts as hung.
        max_replacements: how many replacements the whole run may need before WorkerLost is raised.
    """

    def __init__(
        self,
        make: MakeEnv,
        *,
        workers: int,
        envs_per_worker: int,
        seed: int = 0,
        step_timeout_s: float = 60.0,
        start_timeout_s: float = 120.0,
        max_replacements: int = 100,
    ) -> None:
        env = make()
        self.observation_space, self.action_space = env.observation_space, env.action_space
        env.close()
        if not isinstance(self.observation_space, gymnasium.spaces.Dict):
            raise SimulationError(f"observation space: got {self.observation_space}, expected a Dict")
        self.num_envs = workers * envs_per_worker
        self.replacements = 0
        self._make, self._per_worker, self._max_replacements = make, envs_per_worker, max_replacements
        self._step_timeout_s, self._start_timeout_s = step_timeout_s, start_timeout_s
        boxes = {k: s for k, s in self.observation_space.spaces.items() if isinstance(s, gymnasium.spaces.Box)}
        self._workers = [_Worker(make, envs_per_worker, boxes, seed + i * envs_per_worker) for i in range(workers)]

    def reset(self) -> dict[str, Array]:
        """Starts a new episode everywhere and returns the first observations."""
        for worker in self._workers:
            worker.send("reset", None)
        return self._gather("reset").observation

    def step(self, actions: Sequence[int] | npt.NDArray[np.int64]) -> VectorStep:
        """Takes `actions`, shape (N,), one per environment; finished episodes are followed by new ones at once."""
        if len(actions) != self.num_envs:
            raise SimulationError(f"actions: got {len(actions)}, expected {self.num_envs}")
        for index, worker in enumerate(self._workers):
            worker.send("step", [int(a) for a in actions[index * self._per_worker : (index + 1) * self._per_worker]])
        return self._gather("step")

    def close(self) -> None:
        """Ends every worker; safe to call twice."""
        for worker in self._workers:
            worker.end()

    def __enter__(self) -> VectorRunner:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _gather(self, request: str) -> VectorStep:
        small: list[dict[str, Any]] = []
        replaced: list[int] = []
        for index, worker in enumerate(self._workers):
            timeout_s = self._step_timeout_s if request == "step" and worker.warm else self._start_timeout_s
            answer = worker.receive(timeout_s)
            if answer is None:
                answer = self._replace(worker)
                replaced += range(index * self._per_worker, (index + 1) * self._per_worker)
            small += answer
        return _join(small, [worker.arrays for worker in self._workers], tuple(replaced))

    def _replace(self, worker: _Worker) -> list[dict[str, Any]]:
        while self.replacements < self._max_replacements:
            self.replacements += 1
            worker.restart()
            worker.send("reset", None)
            answer = worker.receive(self._start_timeout_s)
            if answer is not None:
                return [{**one, "truncated": True} for one in answer]
        raise WorkerLost(f"simulation workers: {self.replacements} replaced, expected at most {self._max_replacements}")


class _Worker:
    """One process, its pipe, and the shared arrays its images arrive in."""

    def __init__(self, make: MakeEnv, envs: int, boxes: Mapping[str, gymnasium.spaces.Box], seed: int) -> None:
        self._make, self._envs, self._seed, self._generation = make, envs, seed, 0
        self._shapes = {name: ((envs, *box.shape), np.dtype(box.dtype)) for name, box in boxes.items()}
        sizes = {name: int(np.prod(shape)) * dtype.itemsize for name, (shape, dtype) in self._shapes.items()}
        self._memory = {name: CONTEXT.RawArray("B", max(size, 1)) for name, size in sizes.items()}
        self.arrays = _views(self._memory, self._shapes)
        self.warm = False
        self._start()

    def send(self, request: str, value: Any) -> None:
        """Sends a request; a dead worker is noticed when its answer is awaited."""
        try:
            self._pipe.send((request, value))
        except (BrokenPipeError, OSError):
            return

    def receive(self, timeout_s: float) -> list[dict[str, Any]] | None:
        """The answers of this worker's environments, or None when it died or hangs."""
        deadline = time.monotonic() + timeout_s
        try:
            while time.monotonic() < deadline:
                if self._pipe.poll(0.2):
                    answer: list[dict[str, Any]] = self._pipe.recv()
                    self.warm = True
                    return answer
                if not self._process.is_alive():
                    return None
        except (EOFError, OSError):
            return None
        return None

    def restart(self) -> None:
        """Kills what is left of the process and starts another with other episodes."""
        self.end()
        self._generation += 1
        self._start()

    def end(self) -> None:
        """Kills the process and waits for it."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _start(self) -> None:
        self.warm = False
        self._pipe, theirs = CONTEXT.Pipe()
        seed = self._seed + self._generation * GENERATION_STRIDE
        arguments = (theirs, self._make, self._envs, seed, self._memory, self._shapes)
        self._process = CONTEXT.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()


def _views(memory: Mapping[str, Any], shapes: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> dict[str, Array]:
    return {
        name: np.frombuffer(memory[name], dtype=dtype, count=int(np.prod(shape))).reshape(shape)
        for name, (shape, dtype) in shapes.items()
    }


def _serve(
    pipe: Connection,
    make: MakeEnv,
    count: int,
    seed: int,
    memory: Mapping[str, Any],
    shapes: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]],
) -> None:
    """The worker's loop; ends when the pipe closes, as it does when the parent dies."""
    arrays = _views(memory, shapes)
    envs = [make() for _ in range(count)]
    seeds: list[int | None] = [seed + i for i in range(count)]
    try:
        while True:
            request, actions = pipe.recv()
            answers = []
            for i, env in enumerate(envs):
                answer = _step(env, actions[i]) if request == "step" else _fresh(env, seeds[i])
                seeds[i] = None  # only the first reset is seeded; the environment goes on from its own generator
                for name, value in answer["observation"].items():
                    if name in arrays:
                        arrays[name][i] = value
                answer["observation"] = {k: v for k, v in answer["observation"].items() if k not in arrays}
                answers.append(answer)
            pipe.send(answers)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        for env in envs:
            env.close()


def _fresh(env: gymnasium.Env[Any, Any], seed: int | None) -> dict[str, Any]:
    observation, info = env.reset(seed=seed)
    return {"observation": observation, "reward": 0.0, "terminated": False, "truncated": False, "info": info}


def _step(env: gymnasium.Env[Any, Any], action: int) -> dict[str, Any]:
    observation, reward, terminated, truncated, info = env.step(action)
    if terminated or truncated:
        info = {**info, "final_observation": observation}
        observation, _ = env.reset()
    return {
        "observation": observation,
        "reward": float(reward),
        "terminated": terminated,
        "truncated": truncated,
        "info": info,
    }


def _join(small: list[dict[str, Any]], shared: list[dict[str, Array]], replaced: tuple[int, ...]) -> VectorStep:
    observation = {name: np.concatenate([arrays[name] for arrays in shared]) for name in shared[0]}
    for name in small[0]["observation"]:
        observation[name] = np.array([one["observation"][name] for one in small])
    return VectorStep(
        observation=observation,
        reward=np.array([one["reward"] for one in small], dtype=np.float64),
        terminated=np.array([one["terminated"] for one in small], dtype=np.bool_),
        truncated=np.array([one["truncated"] for one in small], dtype=np.bool_),
        info=tuple(one["info"] for one in small),
        replaced=replaced,
    )
