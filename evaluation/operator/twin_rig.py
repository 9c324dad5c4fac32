"""A twin of the Stretch in simulated houses as the robot of real trials: for rehearsals and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from evaluation.errors import TrialError
from evaluation.operator.in_process_rig import InProcessRig
from evaluation.operator.rig import RigOptions, Setting
from evaluation.step import RunEnd
from simulation.episode import EpisodeSpec
from simulation.episode_info import episode_info
from simulation.errors import EpisodeError, HouseGenerationError
from simulation.houses.seeds import SPLITS
from simulation.request import episode_for, request_of
from simulation.robot_models.body import Eye
from simulation.twins.house_twin import Twin, TwinOptions
from simulation.twins.registry import make_twin

HEIGHT, WIDTH = 252, 432  # pixels: the shipped policies' 84 x 144, three times
HOUSES = 50
"""Houses that are searched for one with what is asked for."""


def twin_rig(
    options: RigOptions,
    *,
    real_time: bool = True,
    judged: Callable[[Setting, RunEnd, bool], object] = lambda setting, end, success: None,
) -> InProcessRig:
    """Returns the twin of the Stretch RE1; each start of the plan is a house of the test split.

    `judged` is called with what the twin itself knows of each trial: whether it succeeded.
    """
    twin = make_twin("stretch_re1", TwinOptions(height=HEIGHT, width=WIDTH, real_time=real_time))
    first = SPLITS["test"].start if options.house_seed is None else options.house_seed
    episodes: dict[tuple[int, str], EpisodeSpec] = {}

    def reset(setting: Setting) -> None:
        place = (setting.place, setting.instruction)
        if place not in episodes:
            episodes[place] = find_episode(setting.instruction, first + setting.place, twin.eye, options.places)
        twin.reset(episodes[place])

    def ended(setting: Setting, end: RunEnd) -> None:
        judged(setting, end, succeeded(twin, end))

    return InProcessRig(twin, reset, name="twin", ended=ended)


def succeeded(twin: Twin, end: RunEnd) -> bool:
    """Returns True if the policy said `done` and the task's condition holds."""
    return end.reason == "done" and bool(episode_info(twin).to_json()["success"])


def find_episode(instruction: str, house_seed: int, eye: Eye, stride: int) -> EpisodeSpec:
    """Returns the episode of the first house that has what is asked for, `stride` houses apart.

    Raises:
        TrialError: no house has, or the instruction is of no task of the simulator.
    """
    for number in range(HOUSES):
        try:
            episode = episode_for(instruction, house_seed + number * max(1, stride), eye)
        except (EpisodeError, HouseGenerationError):
            continue
        if episode is not None:
            return episode
        break
    raise _impossible(instruction)


def check_instructions(instructions: Iterable[str]) -> None:
    """Raises TrialError for the first instruction that is of no task of the simulator."""
    for instruction in instructions:
        if request_of(instruction) is None:
            raise _impossible(instruction)


def _impossible(instruction: str) -> TrialError:
    return TrialError(
        f"instruction '{instruction}': no twin can do it; ask for what CHORES asks for, e.g. 'find a mug'"
    )
