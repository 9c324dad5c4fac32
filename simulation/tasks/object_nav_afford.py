"""ObjectNavAffordance of CHORESNav: find an object by an affordance; its category is not named.

The template is CHORES' own ("{verb} a {what it is} that can best be used for {affordance}", FLaRe
utils/task_spec_to_instruction.py), and so are the nouns (the hypernyms in the CHORES-S validation
episodes, by the first word of their synset). The affordances are ours: CHORES draws them with a language model and did
not publish them. Success is ObjectNav's, for every object of the house with the affordance.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from simulation.episode import EpisodeSpec
from simulation.errors import EpisodeGenerationError, SeedError
from simulation.houses.cache import cached_house
from simulation.houses.house import House
from simulation.navigation.goals import draw_start_for
from simulation.robot_models.body import Eye
from simulation.robot_models.stretch import STRETCH_EYE
from simulation.tasks.instructions import affordance_instruction

TASK = "object_nav_afford"

CALLED: Mapping[str, str] = MappingProxyType(
    {
        "alarm clock": "instrument",
        "apple": "fruit",
        "basketball": "equipment",
        "bed": "furnishing",
        "bowl": "container",
        "chair": "furnishing",
        "garbage can": "container",
        "house plant": "plant",
        "laptop": "machine",
        "mug": "container",
        "sofa": "furnishing",
        "spray bottle": "container",
        "television": "equipment",
        "toilet": "fixture",
        "vase": "container",
    }
)
"""Noun for each category in such an instruction."""

AFFORDANCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "waking up in the morning": ("alarm clock",),
        "eating as a snack": ("apple",),
        "playing with a hoop": ("basketball",),
        "sleeping": ("bed",),
        "serving soup": ("bowl",),
        "sitting": ("chair", "sofa"),
        "lounging and relaxing": ("sofa",),
        "throwing away waste": ("garbage can",),
        "decorating a room": ("house plant",),
        "writing letters": ("laptop",),
        "drinking coffee": ("mug",),
        "watering leaves": ("spray bottle",),
        "watching films": ("television",),
        "relieving oneself": ("toilet",),
        "holding flowers": ("vase",),
    }
)
"""Categories with each affordance, all with the same noun."""


def sample_episode(house_seed: int, seed: int = 0, *, max_steps: int = 600, eye: Eye = STRETCH_EYE) -> EpisodeSpec:
    """Draws an episode: an affordance of an object in the house, and a start away from it.

    Raises:
        SeedError: a seed is negative.
        EpisodeGenerationError: no object with a known affordance has a start and a goal.
        HouseGenerationError: the house cannot be generated.
    """
    if seed < 0:
        raise SeedError("episode seed", seed, "a whole number from 0")
    house, rng = cached_house(house_seed), np.random.default_rng([house_seed, seed])
    for affordance in rng.permutation([name for name in AFFORDANCES if objects_for(house, name)]):
        objects, called = objects_for(house, str(affordance)), CALLED[AFFORDANCES[str(affordance)][0]]
        start = draw_start_for(house_seed, called, rng, eye, objects)
        if start is not None:
            instruction = affordance_instruction(called, str(affordance), rng)
            return EpisodeSpec(TASK, house_seed, start, called, instruction, seed, None, max_steps, objects)
    raise EpisodeGenerationError(house_seed, "no object with a known affordance is reachable and visible")


def objects_for(house: House, affordance: str) -> tuple[str, ...]:
    """Names of the objects of a house with the affordance."""
    return tuple(thing.name for thing in house.objects if thing.category in AFFORDANCES[affordance])
