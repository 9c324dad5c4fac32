"""Length of the expert's solution of an episode, by which success is weighted (SEL)."""

from __future__ import annotations

from simulation.episode import EpisodeSpec
from simulation.episode_steps import EpisodeSteps
from simulation.task_registry import Expert, task
from simulation.twins.house_twin import StretchTwin, Twin, TwinOptions

NOISELESS = TwinOptions(move_noise_m=0.0, turn_noise_rad=0.0)


def expert_length(episode: EpisodeSpec, twin: Twin | None = None) -> int | None:
    """Runs the expert once and returns its number of decisions, `done` included; None where the expert fails.

    The episode is played by `twin`, which should be made with `NOISELESS` options; by a Stretch when None.
    """
    twin = twin or StretchTwin(NOISELESS)
    with twin:
        return played(twin, task(episode.task).expert(twin), episode)


def played(twin: Twin, expert: Expert, episode: EpisodeSpec) -> int | None:
    """Lets an expert play an episode on a connected twin; returns as `expert_length`."""
    steps = EpisodeSteps(twin, episode)
    for _ in steps:
        steps.act(expert.action())
    return steps.count if steps.success else None
