"""How long the expert of an episode's task needs, which is what success is weighted by."""

from __future__ import annotations

from simulation.episode import EpisodeSpec
from simulation.task_registry import is_success, task
from simulation.twins.house_twin import StretchTwin, Twin, TwinOptions

QUIET = TwinOptions(move_noise_m=0.0, turn_noise_rad=0.0)


def measure_expert(episode: EpisodeSpec, twin: Twin | None = None) -> EpisodeSpec:
    """The episode with `expert_steps` filled in by a run of the expert; None where the expert fails.

    The run is that of `twin`, which should be made with `QUIET` options; a Stretch when None.
    """
    twin = twin or StretchTwin(QUIET)
    expert = task(episode.task).expert(twin)
    with twin:
        twin.reset(episode)
        for step in range(1, episode.max_steps + 1):
            action = expert.action()
            if action == "done":
                return episode.with_expert_steps(step if is_success(twin) else None)
            twin.execute(twin.spec.actions[action])
    return episode.with_expert_steps(None)
