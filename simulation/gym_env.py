"""Gymnasium environments of the tasks: SPOC's 20 actions, two images, sparse reward."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import gymnasium as gym
import numpy as np

from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from robots.errors import SpecError
from robots.previous_action import PreviousActionTokens
from robots.spec import U8Image
from simulation.episode import EpisodeSpec
from simulation.episode_steps import EpisodeSteps
from simulation.errors import EpisodeGenerationError, HouseGenerationError
from simulation.expert_length import NOISELESS, expert_length
from simulation.houses.categories import CATEGORIES
from simulation.houses.seeds import SPLITS, house_seed
from simulation.navigation.rooms import rooms_at
from simulation.task_registry import task as task_named
from simulation.tasks.metrics import failed_fraction, path_length, sel
from simulation.twins.house_twin import TwinOptions
from simulation.twins.registry import make_twin

TOKENS = PreviousActionTokens.after(len(SPOC_ACTIONS.names))
"""Previous-action tokens beside the 20 actions."""

TARGETS = tuple(CATEGORIES)
"""Target categories in the order of `goal`, which is `len(TARGETS)` where the instruction has none: RoomVisit,
RoomNav, ObjNavAfford."""

NAMES = ("navigation", "manipulation")
"""Images of an observation, as SPOC's policies take them; a robot with one camera has the same image in both."""

_DRAWS = 20


class FerryEnv(gym.Env[dict[str, Any], np.int64]):
    """One robot in a sequence of houses.

    Observation: "navigation" and "manipulation", each (height, width, 3) uint8 RGB; "state" (1,) float32, the in-hand
    flag; "previous_action", the last executed action (`TOKENS` at first, and when it was not executed); "step"
    (1,) int64, decisions so far; "goal", index into `TARGETS` or one past its end. `info` has the full instruction.

    Reward: 1.0 for `done` when the task's success predicate holds, else 0. Only `done` terminates an episode, not
    `sub_done`.

    `info` has "success", "collided" (this action was blocked), "collisions", "instruction" and "episode" (as JSON);
    at the end also "sel" (NaN while the expert's length is not known), "path_m", "rooms_visited", "rooms" (of the
    house) and "failed_share" (of all commands). The expert's action in the current state is
    `env.unwrapped.expert.action()`.

    Args:
        options: of the twin.
        task: one of `simulation.task_registry.TASKS`, whose horizons are the published ones.
        body: the robot, one of `simulation.twins.registry.TWINS`. The actions are SPOC's 20 for every robot;
            `mask` marks those that it has, and a masked one is an error.
        split: of the houses: "train", "val" or "test".
        max_steps: an episode is truncated after this many decisions.
        render_mode: "rgb_array" or None.
        measure: run the expert before each episode without a known expert length, so that "sel" is known.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        options: TwinOptions = TwinOptions(),  # noqa: B008 - frozen
        *,
        task: str = "object_nav",
        body: str = "stretch_re1",
        split: str = "train",
        max_steps: int = 150,
        measure: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = render_mode
        self.twin = make_twin(body, options)
        self._task = task_named(task)
        self.expert = self._task.expert(self.twin)
        self._body, self._split, self._max_steps, self._measure = body, split, max_steps, measure
        image = gym.spaces.Box(0, 255, (options.height, options.width, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(len(SPOC_ACTIONS.names))
        self.observation_space = gym.spaces.Dict(
            {
                "navigation": image,
                "manipulation": image,
                "state": gym.spaces.Box(0.0, 1.0, (1,), np.float32),
                "previous_action": gym.spaces.Discrete(TOKENS.count),
                "step": gym.spaces.Box(0, np.iinfo(np.int64).max, (1,), np.int64),
                "goal": gym.spaces.Discrete(len(TARGETS) + 1),
            }
        )
        self._play: EpisodeSteps

    @property
    def mask(self) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
        """Action mask (20,) for `action_space.sample`: 1 where the robot has the action."""
        return np.array([name in self.twin.spec.actions for name in SPOC_ACTIONS.names], np.int8)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts `options["episode"]`, or one drawn in `options["house_seed"]`, or one in a house of the split."""
        super().reset(seed=seed)
        chosen = dict(options or {})
        episode = chosen.get("episode") or self._draw(chosen.get("house_seed"))
        if self._measure and episode.expert_steps is None:
            episode = episode.with_expert_steps(expert_length(episode, make_twin(self._body, NOISELESS)))
        self.twin.connect()
        self._play = EpisodeSteps(self.twin, episode, max_steps=min(self._max_steps, episode.max_steps))
        return self._observation(), self._info(collided=False)

    def step(self, action: np.int64) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Executes one of the 20 actions; SpecError for one that the robot lacks."""
        self._play.act(self._available(SPOC_ACTIONS.names[int(action)]))
        terminated, truncated = self._play.ended == "done", self._play.ended == "steps"
        success, sent = self._play.success, self._play.sent
        info = self._info(collided=sent is not None and bool(sent.blocked), success=success)
        if terminated or truncated:
            info |= self._result(success)
        return self._observation(), float(success), terminated, truncated, info

    def render(self) -> U8Image | None:
        """Renders the house from above, (480, 640, 3) uint8 RGB; None without a render mode."""
        return self.twin.frame(480, 640) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Frees the renderers."""
        self.twin.disconnect()

    def _available(self, action: str) -> str:
        body = self.twin.spec
        if action not in body.actions:
            raise SpecError("action", repr(action), f"an available action of {body.name}: {', '.join(body.actions)}")
        return action

    def _draw(self, house: int | None) -> EpisodeSpec:
        """Draws an episode in `house`, or in one of the split: with retries, since not every house can be generated."""
        if house is not None:
            seed, eye = int(self.np_random.integers(2**31)), self.twin.eye
            return self._task.sample(house, seed, max_steps=self._max_steps, eye=eye)
        for _ in range(_DRAWS - 1):
            with suppress(EpisodeGenerationError, HouseGenerationError):
                return self._draw(self._draw_house())
        return self._draw(self._draw_house())

    def _draw_house(self) -> int:
        return house_seed(self._split, int(self.np_random.integers(len(SPLITS[self._split]))))

    def _observation(self) -> dict[str, Any]:
        observation, views = self.twin.observe(), self.twin.spec.camera_views
        target = self.twin.episode.target
        return {
            **{name: observation.images[views.get(name, name)] for name in NAMES},
            "state": observation.state["hand"],
            "previous_action": np.int64(self._previous_action()),
            "step": np.array([self._play.count], dtype=np.int64),
            "goal": np.int64(TARGETS.index(target) if target in TARGETS else len(TARGETS)),
        }

    def _previous_action(self) -> int:
        tried = None if self._play.tried is None else SPOC_ACTIONS.index(self._play.tried)
        return TOKENS.token(tried, self._play.executed)

    def _info(self, *, collided: bool, success: bool = False) -> dict[str, Any]:
        return {
            "success": success,
            "collided": collided,
            "collisions": self.twin.collisions,
            "instruction": self.twin.episode.instruction,
            "episode": self.twin.episode.to_json(),
        }

    def _result(self, success: bool) -> dict[str, float]:
        expert = self.twin.episode.expert_steps
        return {
            "sel": float("nan") if expert is None else sel(success, expert, self._play.count),
            "path_m": path_length(self.twin.path),
            "rooms_visited": len(rooms_at(self.twin.house, self.twin.path)),
            "rooms": len(self.twin.house.rooms),
            "failed_share": failed_fraction(self.twin.history),
        }


IDS: Mapping[str, str] = {
    "object_nav": "Ferry/ObjectNav-v0",
    "pick_up": "Ferry/PickUp-v0",
    "fetch": "Ferry/Fetch-v0",
    "room_visit": "Ferry/RoomVisit-v0",
    "room_nav": "Ferry/RoomNav-v0",
    "object_nav_rel_attr": "Ferry/ObjNavRelAttr-v0",
    "object_nav_afford": "Ferry/ObjNavAfford-v0",
}
"""Gymnasium id of each task's environment."""

for _name, _id in IDS.items():
    gym.register(
        _id,
        entry_point="simulation.gym_env:FerryEnv",
        kwargs={"task": _name},
        disable_env_checker=True,
        order_enforce=False,
    )
