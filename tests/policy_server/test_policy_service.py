"""Whatever a client sends as a body or an observation, the answer is a typed error or a decision."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from bundles import tiny_body, tiny_observation, write_tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_server.bundle import PolicyBundle
from policy_server.errors import PolicyError, WireError
from policy_server.serving.service import Service, ServiceOptions
from policy_server.wire.messages import ActRequest
from robots.errors import BindError

JUNK: tuple[Any, ...] = (None, True, -1, 0, 1.5, 10**30, math.nan, "", "text", [], [1], {}, {"a": 1})
Path_ = tuple[str | int, ...]


@cache
def bundle() -> PolicyBundle:
    with TemporaryDirectory() as folder:
        write_tiny_bundle(Path(folder))
        return PolicyBundle.load(Path(folder), threads=1)


def service(**options: Any) -> Service:
    return Service(bundle(), replace(ServiceOptions(max_sessions=10_000), **options))


def plain(value: object) -> Any:
    """`value` as it comes out of JSON: lists instead of tuples."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def places(value: object, path: Path_ = ()) -> list[Path_]:
    """Every place in nested maps and lists."""
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, one in inner for place in places(one, (*path, name)))]


BODY = plain(tiny_body().to_json())
PLACES = [place for place in places(BODY) if place]


def put(body: Any, place: Path_, value: object) -> None:
    for name in place[:-1]:
        body = body[name]
    body[place[-1]] = value


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(JUNK))
def test_any_body_is_served_or_refused_by_name(place: Path_, junk: object) -> None:
    body = copy.deepcopy(BODY)
    put(body, place, junk)
    one, refusal = service(), ""
    try:
        session_id = one.open(body, "find a mug", "greedy", 0)["session_id"]
        observation = tiny_observation()
        one.act(one.sessions.take(session_id), ActRequest(0, observation.images, observation.state))
    except (BindError, WireError) as error:
        refusal = str(error)
    assert not refusal or "got" in refusal


def test_a_failed_act_gives_the_session_back() -> None:
    one = service()
    session_id = one.open(BODY, "find a mug", "greedy", 0)["session_id"]
    observation = tiny_observation()
    for images in ({}, {"navigation": b"", "manipulation": b""}):
        with pytest.raises(PolicyError):
            one.act(one.sessions.take(session_id), ActRequest(0, images, observation.state))
    assert one.act(one.sessions.take(session_id), ActRequest(0, observation.images, observation.state)).step == 0


def test_a_very_long_image_side_is_refused() -> None:
    body = copy.deepcopy(BODY)
    body["cameras"][0] |= {"height": 1, "width": 100_000}
    with pytest.raises(WireError, match=r"got \(1, 100000\), expected sides up to 8192"):
        service().open(body, "find a mug", "greedy", 0)


def test_cameras_the_policy_does_not_use_are_not_asked_for() -> None:
    body = copy.deepcopy(BODY)
    body["cameras"].append({**body["cameras"][0], "name": "rear"})
    assert set(service().open(body, "find a mug", "greedy", 0)["cameras"]) == {"navigation", "manipulation"}


def test_a_renamed_camera_is_asked_for_by_the_bodys_name() -> None:
    body = copy.deepcopy(BODY)
    body["cameras"][0]["name"] = "head"
    body["camera_views"] = {"navigation": "head"}
    one = service()
    opened = one.open(body, "find a mug", "greedy", 0)
    assert set(opened["cameras"]) == {"head", "manipulation"}
    images = {name: np.zeros((84, 144, 3), np.uint8) for name in opened["cameras"]}
    request = ActRequest(0, images, tiny_observation().state)
    assert one.act(one.sessions.take(opened["session_id"]), request).name == "move_ahead"
