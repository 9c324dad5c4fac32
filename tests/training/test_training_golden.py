"""ObjectNav on the Stretch stays as it is: the same seed draws the same episodes, shows the same demonstration.

`python tests/training/test_training_golden.py` writes the golden file anew; existing runs are not comparable then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from robots.binding import bind
from simulation.episode import EpisodeSpec
from training.closed_loop.evaluate import EvaluateOptions, evaluation_episodes
from training.data.demonstration import demonstrate, training_episodes
from training.imitation.collect import training_twin
from training.models.config import MINI

GOLDEN = Path(__file__).parent / "goldens" / "object_nav.json"
FIELDS = ("task", "house_seed", "target", "instruction", "seed", "expert_steps", "max_steps")


def plain(episodes: Iterable[EpisodeSpec]) -> list[list[Any]]:
    return [[*(getattr(one, name) for name in FIELDS), *(round(v, 6) for v in one.start)] for one in episodes]


def shown_with_noise() -> dict[str, Any]:
    """A shard's second episode, since its noise follows on the draws of the first."""
    rng, twin = np.random.default_rng([3, 0]), training_twin(MINI)
    with twin:
        for episode in islice(training_episodes(rng), 2):
            *_, shown = demonstrate(twin, bind(MINI.spec(), twin.spec), episode, rng, MINI.tokens)
    return {"labels": shown.labels, "previous": shown.previous, "collisions": shown.collisions}


def drawn() -> dict[str, Any]:
    return {
        "collected": plain(islice(training_episodes(np.random.default_rng([0, 0])), 5)),
        "played": plain(islice(training_episodes(np.random.default_rng((0, 4, 0, 0)), per_house=1), 5)),
        "evaluated": plain(episode for _, episode in evaluation_episodes(EvaluateOptions(), range(3))),
        "shown": shown_with_noise(),
    }


def test_existing_runs_would_draw_the_same_again() -> None:
    assert drawn() == json.loads(GOLDEN.read_text(encoding="utf-8"))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(drawn(), indent=1) + "\n", encoding="utf-8")
