"""Several policies in one server, chosen by name."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from bundles import tiny_body, tiny_observation, write_tiny_bundle
from policy_http import act, open_path, opening, refusal
from servers import ferry_serve

from policy_server.errors import Refused, WireError
from policy_server.policies import open_policy
from policy_server.serve import main
from policy_server.swap import main as swap


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("bundles")
    for action in ("move_ahead", "move_back", "rotate_left"):
        write_tiny_bundle(path / action, script=(action,))
    return path


def test_a_client_chooses_a_policy_by_name_and_gets_the_first_by_default(folders: Path) -> None:
    several = [f"go back={folders / 'move_back'}"]
    with ferry_serve(folders / "move_ahead", more=several) as (url, _), httpx.Client(base_url=url) as http:
        assert [one["name"] for one in http.get("/v1/policies").json()["policies"]] == ["tiny", "go back"]
        for chosen, action in (
            ({}, "move_ahead"),
            ({"policy": "tiny"}, "move_ahead"),
            ({"policy": "go back"}, "move_back"),
        ):
            path = open_path(http, **chosen)
            assert act(http, path).status_code == 200
            sha = http.get("/v1/manifest", params=chosen).json()["bundle_sha256"]
            assert http.post("/v1/sessions", json=opening(**chosen)).json()["bundle_sha256"] == sha
            query = f"?{httpx.QueryParams(chosen)}" if chosen else ""
            with open_policy(f"{url}{query}", timeout_s=20) as policy:
                assert policy.describe().bundle_sha256 == sha
                with policy.open(tiny_body(), "find a mug") as session:
                    assert session.act(tiny_observation()).name == action
        error = refusal(http.post("/v1/sessions", json=opening(policy="other")), 404, "unknown_policy")
        assert error["details"]["available"] == ["tiny", "go back"]
        refusal(http.get("/v1/manifest?policy=other"), 404, "unknown_policy")
        refusal(http.post("/v1/sessions", json=opening(policy=7)), 422, "invalid")
        with (
            open_policy(f"{url}?policy=other") as policy,
            pytest.raises(Refused, match="expected one of tiny, go back"),
        ):
            policy.describe()
        with pytest.raises(WireError, match="policy=NAME"):
            open_policy(f"{url}?name=tiny")


def test_one_of_several_is_swapped_and_the_other_stays(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several = [f"back={folders / 'move_back'}"]
    with ferry_serve(folders / "move_ahead", more=several) as (url, _), httpx.Client(base_url=url) as http:
        port, new = str(httpx.URL(url).port), str(folders / "rotate_left")
        assert swap([new, "--port", port]) == 2
        assert "unknown_policy" in capsys.readouterr().err
        first, path = open_path(http), open_path(http, policy="back")
        assert swap([new, "--port", port, "--policy", "back"]) == 0
        assert "; 1 open sessions end on theirs" in capsys.readouterr().out
        for chosen in (first, path, open_path(http), open_path(http, policy="back")):
            assert act(http, chosen).status_code == 200
        before, after = http.get("/v1/policies").json()["policies"]
        assert not before["on_trial"]
        assert after["on_trial"]
        assert swap(["--port", port]) == 0
        assert capsys.readouterr().out.count("\n") == 2


def test_one_fleet_does_not_take_the_room_of_another(folders: Path) -> None:
    several = [f"back={folders / 'move_back'}"]
    limits = ("--max-sessions", "2")
    with (
        ferry_serve(folders / "move_ahead", *limits, more=several) as (url, _),
        httpx.Client(base_url=url) as http,
    ):
        for _ in range(2):
            open_path(http)
        refusal(http.post("/v1/sessions", json=opening()), 503, "too_many_sessions")
        for _ in range(2):
            open_path(http, policy="back")
        refusal(http.post("/v1/sessions", json=opening(policy="back")), 503, "too_many_sessions")


def test_names_are_unique(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folders / "move_ahead"), str(folders / "move_back")]) == 2
    assert "got the name 'tiny', expected one of its own: NAME=" in capsys.readouterr().err
    assert main([]) == 2
    assert "got no bundle" in capsys.readouterr().err
