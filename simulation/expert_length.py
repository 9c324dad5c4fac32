"""Length of the expert's solution of an episode, by which success is weighted (SEL)."""

from __future__ import annotations

from simulation.episode import EpisodeSpec
from simulation.task_registry import is_success, task
from simulation.twins.house_twin import StretchTwin, Twin, TwinOptions

NOISELESS = TwinOptions(move_noise_m=0.0, turn_noise_rad=0.0)


def expert_length(episode: EpisodeSpec, twin: Twin | None = None) -> int | None:
    """Runs the expert once and returns its number of decisions, `done` included; None where the expert fails.

    The episode is played by `twin`, which should be made with `NOISELESS` options; by a Stretch when None.
    """
    twin = twin or StretchTwin(NOISELESS)
    expert = task(episode.task).expert(twin)
    with twin:
        twin.reset(episode)
        for step in range(1, episode.max_steps + 1):
            action = expert.action()
            if action == "done":
                return step if is_success(twin) else None
            twin.execute(twin.spec.actions[action])
    return None
