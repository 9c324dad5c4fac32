"""Trials on the simulated body, in this process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from types import TracebackType

from evaluation.floor_map import FloorMap
from evaluation.judge import Verdict
from evaluation.plan import TwinSettings
from evaluation.scene import Scene
from evaluation.source import Source
from evaluation.stage import CannotBegin, Pose, run_here
from evaluation.step import RunEnd, Subscriber
from evaluation.trial import Outcome, Trial
from robots.robot import Robot
from simulation.episode import EpisodeGenerationError, EpisodeSpec
from simulation.errors import HouseGenerationError
from simulation.measure import measure_expert
from simulation.object_nav import cached_house, nearest_and_seen, sample_episode
from simulation.twin import StretchTwin, TwinOptions

DEFAULT_SIZE = (84, 144)  # height, width in pixels of TwinOptions, for the expert, who looks at nothing


class TwinStage:
    """The twin in the trial's house; the simulator itself is the judge.

    Args:
        settings: how the body behaves.
        size: (height, width) of its cameras in pixels.
    """

    name = "twin"
    attended = False

    def __init__(self, settings: TwinSettings, size: tuple[int, int] = DEFAULT_SIZE) -> None:
        self.twin = StretchTwin(
            TwinOptions(
                height=size[0],
                width=size[1],
                move_noise_m=settings.move_noise_m,
                turn_noise_rad=math.radians(settings.turn_noise_deg),
                randomise_cameras=settings.randomise_cameras,
                randomise_appearance=settings.randomise_appearance,
            )
        )

    @property
    def robot(self) -> Robot:
        """The twin."""
        return self.twin

    def begin(self, trial: Trial) -> Scene:
        """Builds the house and puts the twin at its start; CannotBegin when the house has no such episode."""
        scene = house_scene(trial)
        self.twin.reset(EpisodeSpec.from_json(scene.episode))
        return scene

    def run(self, trial: Trial, scene: Scene, source: Source, subscribers: Sequence[Subscriber]) -> RunEnd:
        """Runs the policy's episode in this process."""
        return run_here(self, trial, scene, source, subscribers)

    def verdict(self, end: RunEnd) -> Verdict:
        """The task's rule: success is `done` where the target is visible within 2 m."""
        things = self.twin.house.objects_of(self.twin.episode.target)
        nearest_m, seen = nearest_and_seen(self.twin.world, things)
        return Verdict(
            Outcome.SUCCESS if end.reason == "done" and self.twin.success() else Outcome.FAILURE,
            path=tuple((round(float(a), 3), round(float(b), 3)) for a, b in self.twin.path),
            collisions=self.twin.collisions,
            target_distance_m=round(nearest_m, 3),
            target_visible=seen,
        )

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


def house_scene(trial: Trial) -> Scene:
    """The scene of a trial in a simulated house: `scene.episode` is what a twin, here or behind ROS, is reset to."""
    if trial.house_seed is None:
        raise CannotBegin(f"{trial.place}: got a start in a real home, expected a simulated house")
    return _house_scene(trial.house_seed, trial.seed, trial.max_steps)


@lru_cache(maxsize=2)
def _house_scene(house_seed: int, seed: int, max_steps: int) -> Scene:
    try:
        episode = sample_episode(house_seed, seed)
        expert_steps = measure_expert(episode).expert_steps  # however short the trial is, so that None says it fails
        episode = replace(episode, expert_steps=expert_steps, max_steps=max_steps)
    except (EpisodeGenerationError, HouseGenerationError) as error:
        raise CannotBegin(str(error)) from error
    floor = FloorMap.of_house(cached_house(house_seed), episode.target)
    return Scene(episode.instruction, episode.target, episode.expert_steps, floor, episode.to_json())
