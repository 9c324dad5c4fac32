"""Trials on the simulated body, in this process."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from types import TracebackType

from evaluation.plans.plan import TwinSettings
from evaluation.plans.trial import Trial
from evaluation.policies import Source
from evaluation.stages.floor_map import FloorMap
from evaluation.stages.judge import Verdict, twin_verdict
from evaluation.stages.scene import Scene
from evaluation.stages.stage import CannotBegin, Pose, run_here
from evaluation.step import RunEnd, Subscriber
from robots.robot import Robot
from simulation.episode import EpisodeSpec
from simulation.episode_info import episode_info
from simulation.errors import EpisodeError, EpisodeGenerationError, HouseGenerationError
from simulation.expert_length import NOISELESS, expert_length
from simulation.houses.cache import cached_house
from simulation.request import mismatch
from simulation.task_registry import check_tasks, task
from simulation.twins.house_twin import TwinOptions
from simulation.twins.registry import make_twin

DEFAULT_SIZE = (84, 144)  # height, width in pixels of TwinOptions, for the expert, who looks at nothing


class TwinStage:
    """The twin in the trial's house; the simulator itself is the judge.

    Args:
        settings: how the body behaves.
        size: (height, width) of its cameras in pixels.
    """

    attended = False

    def __init__(self, settings: TwinSettings, size: tuple[int, int] = DEFAULT_SIZE) -> None:
        self.name = "twin" if settings.body == "stretch_re1" else f"{settings.body}_twin"
        self.twin = make_twin(
            settings.body,
            TwinOptions(
                height=size[0],
                width=size[1],
                move_noise_m=settings.move_noise_m,
                turn_noise_rad=math.radians(settings.turn_noise_deg),
                randomise_cameras=settings.randomise_cameras,
                randomise_appearance=settings.randomise_appearance,
                grasp=settings.grasp,
            ),
        )
        self._body = settings.body

    @property
    def robot(self) -> Robot:
        """The twin."""
        return self.twin

    def begin(self, trial: Trial) -> Scene:
        """Builds the house and puts the twin at its start; CannotBegin when the house has no such episode."""
        scene = house_scene(trial, self._body)
        self.twin.reset(EpisodeSpec.from_json(scene.episode))
        return scene

    def run(self, trial: Trial, scene: Scene, source: Source, subscribers: Sequence[Subscriber]) -> RunEnd:
        """Runs the policy's episode in this process."""
        return run_here(self, trial, scene, source, subscribers)

    def verdict(self, end: RunEnd) -> Verdict:
        """The task's rule, and what else the twin knows."""
        return twin_verdict(end, episode_info(self.twin).to_json())

    def pose(self) -> Pose:
        """The base's true pose."""
        return self.twin.pose

    def __enter__(self) -> TwinStage:
        self.twin.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.twin.__exit__(kind, error, trace)


def house_scene(trial: Trial, body: str = "stretch_re1") -> Scene:
    """The scene of a trial in a simulated house: `scene.episode` is what a twin, here or behind ROS, is reset to.

    Args:
        trial: which.
        body: whose twin it is: what it sees from where it starts, and how long its expert needs, are its own.

    Raises:
        CannotBegin: it is no house, the house has no such episode, or the body cannot do such a task.
    """
    if trial.house_seed is None:
        raise CannotBegin(f"{trial.place}: got a start in a real home, expected a simulated house")
    try:
        return _house_scene(body, trial.task, trial.house_seed, trial.seed, trial.max_steps, trial.episode)
    except (EpisodeError, EpisodeGenerationError, HouseGenerationError) as error:
        raise CannotBegin(str(error)) from error


@lru_cache(maxsize=2)
def _house_scene(body: str, name: str, house_seed: int, seed: int, max_steps: int, given: str) -> Scene:
    twin = make_twin(body, NOISELESS)
    check_tasks((name,), twin.spec)
    if given:
        episode = replace(EpisodeSpec.from_json(json.loads(given)), seed=seed)
    else:
        episode = task(name).sample(house_seed, seed, eye=twin.eye)
    if other := mismatch(episode.instruction, episode):
        raise EpisodeError(other, "an episode whose instruction asks for its target")
    if episode.expert_steps is None:  # however short the trial is, so that None says that the expert fails
        episode = episode.with_expert_steps(expert_length(episode, twin))
    floor = FloorMap.of_house(cached_house(house_seed), episode.target, episode.objects)
    episode = replace(episode, max_steps=max_steps)
    return Scene(episode.instruction, episode.target, episode.expert_steps, floor, episode.to_json())
