"""The real application behind real HTTP: what it answers, what it refuses, and how."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from bundles import HEIGHT, WIDTH, tiny_body, write_tiny_bundle
from policy_http import GREY, OPTIONS, Fields, act, open_path, opening, post_form, refusal
from servers import serving

from policy_server.bundle import PolicyBundle
from policy_server.images.image_codec import encode_image
from policy_server.serving.service import ServiceOptions
from policy_server.wire.messages import MSGPACK, decision_from_fields, unpack


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("bundle")
    write_tiny_bundle(path, horizon=3)
    return path


@pytest.fixture(scope="module")
def http(folder: Path) -> Iterator[httpx.Client]:
    with serving(folder, OPTIONS) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


def test_health_and_readiness(http: httpx.Client) -> None:
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ready"}


def test_the_manifest_and_its_etag(http: httpx.Client, folder: Path) -> None:
    reply = http.get("/v1/manifest")
    bundle = PolicyBundle.load(folder, threads=1)
    assert reply.json()["bundle_sha256"] == bundle.sha256
    assert reply.json()["manifest"] == json.loads((folder / "manifest.json").read_text())
    again = http.get("/v1/manifest", headers={"If-None-Match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_session_says_what_it_expects(http: httpx.Client) -> None:
    body = tiny_body()
    body = body.without("pickup")
    got = http.post("/v1/sessions", json=opening(embodiment=body.to_json())).json()
    assert got["cameras"]["navigation"] == {"height": HEIGHT, "width": WIDTH}
    assert got["state"] == {"hand": ["in_hand"]}
    assert got["masked"] == ["pickup"]
    assert len(got["actions"]) == 20
    assert (got["horizon"], got["control_period_s"], got["expires_after_s"]) == (3, 1.0, 600.0)


def test_msgpack_and_multipart_give_the_same_decision(http: httpx.Client) -> None:
    fast = act(http, open_path(http))
    assert fast.headers["content-type"] == MSGPACK
    decision = decision_from_fields(unpack(fast.content))
    observation = {"stamp_ns": 7, "state": {"hand": [0.0]}}
    images = {name: encode_image(GREY, "png") for name in ("navigation", "manipulation")}
    slow = post_form(http, open_path(http), observation, images)
    assert slow.headers["content-type"] == "application/json"
    assert (slow.json()["name"], slow.json()["stamp_ns"]) == (decision.name, 7) == ("move_ahead", 7)
    assert decision.probabilities is not None
    np.testing.assert_allclose(slow.json()["probabilities"], decision.probabilities, rtol=1e-6)


def test_msgpack_takes_jpeg_files_too(http: httpx.Client) -> None:
    images = {name: encode_image(GREY, "jpeg") for name in ("navigation", "manipulation")}
    assert act(http, open_path(http), images=images).status_code == 200


def test_every_reply_carries_its_timing(http: httpx.Client) -> None:
    reply = act(http, open_path(http))
    timing = unpack(reply.content)["timing_s"]
    assert timing.keys() == {"decode", "preprocess", "inference", "total"}
    assert timing["total"] >= sum(seconds for name, seconds in timing.items() if name != "total")
    parts = [part.split(";")[0] for part in reply.headers["server-timing"].split(", ")]
    assert parts == list(timing)


def test_an_episode_ends_at_its_horizon(http: httpx.Client) -> None:
    path = open_path(http)
    for step in range(3):
        fields = {"executed": "move_ahead"} if step else {}
        assert unpack(act(http, path, step=step, **fields).content)["step"] == step
    error = refusal(act(http, path, executed="move_ahead"), 410, "horizon_exceeded")
    assert error["details"] == {"horizon": 3}


def test_closed_and_unknown_sessions(http: httpx.Client) -> None:
    path = open_path(http)
    assert http.delete(path).status_code == 204
    refusal(act(http, path), 410, "session_closed")
    refusal(http.delete(path), 410, "session_closed")
    refusal(act(http, "/v1/sessions/nonsense"), 404, "unknown_session")


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"images": {"navigation": GREY}}, "missing_field", "images: got missing manipulation"),
        ({"images": {"navigation": GREY, "manipulation": GREY, "rear": GREY}}, "unknown_field", "got unknown rear"),
        (
            {"images": {"navigation": GREY, "manipulation": GREY[:-1]}},
            "image_size",
            "image of camera 'manipulation': got shape (83, 144, 3), expected shape (84, 144, 3)",
        ),
        (
            {"images": {"navigation": GREY, "manipulation": GREY.astype(np.float32)[:2, :2]}},
            "image_size",
            "got dtype float32, expected dtype uint8",
        ),
        ({"images": {"navigation": GREY, "manipulation": b"hello"}}, "not_an_image", "whole JPEG or PNG"),
        ({"state": {"hand": [float("nan")]}}, "state", "state 'hand' 'in_hand': got nan, expected [0.0, 1.0]"),
        ({"state": {"hand": [float("inf")]}}, "state", "got inf"),
        ({"state": {"hand": [1.5]}}, "state", "got 1.5, expected [0.0, 1.0]"),
        ({"state": {"hand": [0.0, 0.0]}}, "state", "got shape (2,), expected shape (1,) (in_hand)"),
        ({"state": {}}, "missing_field", "state: got missing hand"),
        ({"state": {"hand": [0.0], "tail": [1.0]}}, "unknown_field", "state: got unknown tail, expected hand"),
        ({"speed": 3}, "unknown_field", "fields: got unknown speed"),
        ({"stamp_ns": "now"}, "invalid", "stamp_ns: got 'now'"),
        ({"executed": "move_ahead"}, "invalid", "executed: got 'move_ahead' at the first step"),
    ],
)
def test_observations_that_do_not_fit(http: httpx.Client, changes: Fields, code: str, message: str) -> None:
    path = open_path(http)
    assert message in refusal(act(http, path, **changes), 422, code)["message"]
    assert act(http, path).status_code == 200  # the session is unharmed


def test_the_executed_action_must_be_reported(http: httpx.Client) -> None:
    path = open_path(http)
    act(http, path)
    refusal(act(http, path), 422, "missing_field")
    refusal(act(http, path, executed="fly"), 422, "invalid")
    error = refusal(act(http, path, executed=None, step=0), 409, "wrong_step")
    assert error["details"] == {"got": 0, "expected": 1}
    assert act(http, path, executed=None, step=1).status_code == 200


@pytest.mark.parametrize(
    ("observation", "images", "code"),
    [
        ({"stamp_ns": 1, "state": {"hand": [0]}}, {"navigation": b"x", "manipulation": b"x"}, "not_an_image"),
        ({"stamp_ns": 1, "state": {"hand": [0]}}, {"navigation": b"x"}, "missing_field"),
        ({"stamp_ns": 1, "images": {}}, {"navigation": b"x"}, "unknown_field"),
        ({"state": {}}, {"navigation": b"x"}, "missing_field"),
    ],
)
def test_forms_that_do_not_fit(http: httpx.Client, observation: Fields, images: dict[str, bytes], code: str) -> None:
    refusal(post_form(http, open_path(http), observation, images), 422, code)


def test_broken_forms(http: httpx.Client) -> None:
    act_path = f"{open_path(http)}/act"
    boundary = {"Content-Type": "multipart/form-data; boundary=x"}
    refusal(http.post(act_path, content=b"hello", headers=boundary), 400, "bad_request")
    refusal(http.post(act_path, content=b"", headers={"Content-Type": "multipart/form-data"}), 400, "bad_request")
    refusal(http.post(act_path, data={"observation": "{"}, files={"a": b""}), 400, "bad_request")
    refusal(http.post(act_path, data={"observation": "{}", "text": "a"}, files={"a": b""}), 422, "unknown_field")
    refusal(http.post(act_path, data={"other": "{}"}, files={"observation": b"[]"}), 422, "unknown_field")
    refusal(http.post(act_path, data={}, files=[("a", b""), ("a", b"")]), 422, "invalid")


def test_other_content_types_are_refused(http: httpx.Client) -> None:
    path = open_path(http)
    error = refusal(http.post(f"{path}/act", json={}), 415, "unsupported_media_type")
    assert error["details"]["expected"] == "application/msgpack or multipart/form-data"
    refusal(http.post("/v1/sessions", content=b"{}"), 415, "unsupported_media_type")
    broken = http.post(f"{path}/act", content=b"\xc1", headers={"Content-Type": MSGPACK})
    refusal(broken, 400, "bad_request")


def test_bodies_are_limited_while_they_stream(http: httpx.Client) -> None:
    path = f"{open_path(http)}/act"
    headers = {"Content-Type": MSGPACK}
    declared = http.post(path, content=bytes(200_001), headers=headers)
    assert refusal(declared, 413, "body_too_large")["details"]["got"] == "200001 bytes"
    streamed = http.post(path, content=(bytes(10_000) for _ in range(21)), headers=headers)
    assert refusal(streamed, 413, "body_too_large")["details"]["got"] == "more than 200000 bytes"
    form = http.post(path, data={"observation": "{}"}, files={"navigation": bytes(200_000)})
    refusal(form, 413, "body_too_large")


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"instruction": 3}, "invalid", "instruction: got 3"),
        ({"instruction": ""}, "instruction", "got 0 tokens, expected 1 to 64 tokens"),
        ({"instruction": "a " * 20 + "mug"}, "instruction", "got 43 characters, expected at most 40 characters"),
        ({"sampling": "best"}, "invalid", "sampling: got 'best'"),
        ({"seed": -1}, "invalid", "seed: got -1"),
        ({"speed": 1}, "unknown_field", "speed: got 1, expected only embodiment, instruction, sampling, seed"),
        (
            {"embodiment": {}},
            "embodiment",
            "got no 'name', expected the fields name, cameras, state, actions and joints",
        ),
        ({"embodiment": []}, "invalid", "embodiment: got [], expected a JSON object"),
    ],
)
def test_sessions_that_cannot_be_opened(http: httpx.Client, changes: Fields, code: str, message: str) -> None:
    assert message in refusal(http.post("/v1/sessions", json=opening(**changes)), 422, code)["message"]


def without_camera(body: Fields) -> None:
    body["cameras"] = body["cameras"][:1]


def other_camera(body: Fields) -> None:
    body["cameras"][1]["vertical_fov_deg"] = 90.0


def without_state(body: Fields) -> None:
    del body["state"]["hand"]


def other_actions(body: Fields) -> None:
    body["actions"] = {"fly": body["actions"]["move_ahead"]}


@pytest.mark.parametrize(
    ("change", "code", "available"),
    [
        (without_camera, "camera", ["navigation"]),
        (other_camera, "field_of_view", ["manipulation", "navigation"]),
        (other_actions, "action", ["fly"]),
    ],
)
def test_a_body_that_does_not_fit_is_told_why(
    http: httpx.Client, change: Callable[[Fields], None], code: str, available: list[str]
) -> None:
    body = tiny_body().to_json()
    change(body)
    error = refusal(http.post("/v1/sessions", json=opening(embodiment=body)), 409, code)
    assert error["details"].keys() == {"got", "expected", "available"}
    assert error["details"]["available"] == available


def test_a_body_without_the_state_is_told_why(http: httpx.Client) -> None:
    body = tiny_body().to_json()
    without_state(body)
    error = refusal(http.post("/v1/sessions", json=opening(embodiment=body)), 409, "state")
    assert error["details"]["expected"] == "'in_hand' [bool]"


def test_cameras_are_limited(folder: Path) -> None:
    with serving(folder, ServiceOptions(max_image_pixels=10_000)) as url:
        error = refusal(httpx.post(f"{url}/v1/sessions", json=opening()), 422, "embodiment")
        assert "got (84, 144), expected sides up to 8192, 10000 pixels at most" in error["message"]


def test_paths_and_methods_that_do_not_exist(http: httpx.Client) -> None:
    refusal(http.get("/v2"), 404, "not_found")
    refusal(http.get("/v1/sessions"), 405, "method_not_allowed")


def test_openapi_describes_every_route(http: httpx.Client) -> None:
    api = http.get("/openapi.json").json()
    assert set(api["paths"]) == {
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/manifest",
        "/v1/policies",
        "/v1/sessions",
        "/v1/sessions/{session_id}",
        "/v1/sessions/{session_id}/act",
    }
    act_route = api["paths"]["/v1/sessions/{session_id}/act"]["post"]
    assert act_route["requestBody"]["content"].keys() == {"application/msgpack", "multipart/form-data"}
    assert act_route["responses"].keys() >= {"200", "400", "401", "404", "409", "410", "413", "415", "422", "500"}
    opening_route = api["paths"]["/v1/sessions"]["post"]
    assert "embodiment" in opening_route["requestBody"]["content"]["application/json"]["schema"]["required"]
    for references in find_references(api):
        assert references.startswith("#/components/schemas/")
        assert references.rsplit("/", 1)[1] in api["components"]["schemas"]
    for path in api["paths"].values():
        assert all(method["description"] for method in path.values())


def test_the_api_page_needs_no_other_server_and_the_root_names_it(http: httpx.Client) -> None:
    page = http.get(http.get("/").json()["docs"]).text
    loaded = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert len(loaded) >= 3
    assert "https://" not in page
    for path in loaded:
        reply = http.get(path)
        assert reply.status_code == 200, path
        assert len(reply.content) > 1000, path
    assert http.get("/redoc").status_code == 404


def find_references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [one for inner in value.values() for one in find_references(inner)]
    return [one for inner in value for one in find_references(inner)] if isinstance(value, list) else []


def test_the_documented_examples_work(http: httpx.Client) -> None:
    api = http.get("/openapi.json").json()
    content = api["paths"]["/v1/sessions"]["post"]["requestBody"]["content"]["application/json"]
    reply = http.post("/v1/sessions", json=content["example"])
    assert reply.status_code == 201
    assert reply.json()["cameras"]["navigation"] == {"height": 720, "width": 1280}
    form = api["paths"]["/v1/sessions/{session_id}/act"]["post"]["requestBody"]["content"]["multipart/form-data"]
    images = {name: encode_image(GREY, "png") for name in ("navigation", "manipulation")}
    assert post_form(http, open_path(http), form["example"]["observation"], images).status_code == 200
