"""Dataclasses from plain data: what is taken, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.errors import FormatError, PlanError, RecordError
from policy_server.yaml_lines import LinedDict, read_yaml
from robots.structure import Place, build, nearest


class Colour(str, Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Wheel:
    radius_m: float
    spokes: int = 8


@dataclass(frozen=True)
class Cart:
    name: str
    wheels: tuple[Wheel, ...] = ()
    colour: Colour = Colour.RED
    origin: tuple[float, float] | None = None
    load: Mapping[str, float] = field(default_factory=dict)
    kind: Literal["hand", "horse"] = "hand"
    sealed: bool = False
    extra: Any = None


PLACE = Place("cart.json", error=RecordError)
carts = st.builds(
    Cart,
    name=st.text(),
    wheels=st.lists(st.builds(Wheel, st.floats(allow_nan=False), st.integers(-(2**63) + 1, 2**63 - 1))).map(tuple),
    colour=st.sampled_from(Colour),
    origin=st.none() | st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)),
    load=st.dictionaries(st.text(), st.floats(allow_nan=False)),
    kind=st.sampled_from(["hand", "horse"]),
    sealed=st.booleans(),
)


@settings(deadline=None, max_examples=60)
@given(carts)
def test_what_asdict_takes_apart_build_puts_together(cart: Cart) -> None:
    assert build(Cart, asdict(cart), PLACE) == cart


def test_defaults_stand_for_what_is_left_out() -> None:
    assert build(Cart, {"name": "a"}, PLACE) == Cart("a")


def test_a_whole_number_is_a_number_but_not_the_other_way_round() -> None:
    assert build(Wheel, {"radius_m": 1}, PLACE) == Wheel(1.0)
    with pytest.raises(RecordError, match=r"spokes: got 1\.5, expected a whole number"):
        build(Wheel, {"radius_m": 1, "spokes": 1.5}, PLACE)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "cart.json: got no 'name', expected 'name' among the keys"),
        ({"name": 3}, "cart.json: name: got 3, expected text"),
        ({"names": "a"}, "cart.json: names: got an unknown key, expected one of name, wheels, .*did you mean 'name'?"),
        ({"name": "a", "wheels": {}}, "wheels: got keys and values, expected a list"),
        ({"name": "a", "wheels": [{"radius_m": "x"}]}, r"wheels\[0\].radius_m: got 'x', expected a number"),
        ({"name": "a", "colour": "rde"}, "colour: got 'rde', expected one of red, blue; did you mean 'red'?"),
        ({"name": "a", "kind": "hores"}, "kind: got 'hores', expected one of hand, horse; did you mean 'horse'?"),
        ({"name": "a", "origin": [1.0]}, "origin: got 1 entries, expected 2 entries"),
        ({"name": "a", "load": [1.0]}, "load: got a list, expected keys and values"),
        ({"name": "a", "load": {"box": "heavy"}}, "load.box: got 'heavy', expected a number"),
        ({"name": "a", "sealed": 1}, "sealed: got 1, expected true or false"),
        ([], "cart.json: got a list, expected keys name"),
        (None, "cart.json: got nothing, expected keys name"),
    ],
)
def test_what_does_not_fit_is_named(data: object, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        build(Cart, data, PLACE)


def test_an_error_says_the_line_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "cart.yaml"
    path.write_text("name: a\nwheels:\n  - radius_m: 1\n  - radius_m: 2\n    spoks: 3\n", encoding="utf-8")
    with pytest.raises(PlanError, match=r"cart.yaml:5: wheels\[1\].spoks: .*did you mean 'spokes'\?") as caught:
        build(Cart, read_yaml(path, PlanError, "a plan"), Place("cart.yaml", error=PlanError))
    assert caught.value.line == 5


def test_yaml_keeps_plain_values_and_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("# comment\na: 1\nb: [x, 2.5, null, true]\nc:\n  d: 'text'\n", encoding="utf-8")
    data = read_yaml(path, PlanError, "a plan")
    assert data == {"a": 1, "b": ["x", 2.5, None, True], "c": {"d": "text"}}
    assert isinstance(data, LinedDict)
    assert data.lines == {"a": 2, "b": 3, "c": 4}


def test_yaml_that_is_not_utf8_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(PlanError, match="got UnicodeDecodeError"):
        read_yaml(path, PlanError, "a plan")


def test_an_anchor_used_twice_is_no_second_key(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: &x {b: 1}\nc: *x\n", encoding="utf-8")
    assert read_yaml(path, PlanError, "a plan") == {"a": {"b": 1}, "c": {"b": 1}}


def test_the_base_error_catches_both_kinds() -> None:
    for kind in (PlanError, RecordError):
        with pytest.raises(FormatError, match=r"^a: got 1, expected 2$"):
            raise kind("a", 1, 2)


def test_nearest_finds_a_slip_and_nothing_else() -> None:
    assert nearest("polices", ["policies", "houses"]) == "policies"
    assert nearest("zebra", ["policies", "houses"]) == ""
