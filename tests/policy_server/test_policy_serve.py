"""`ferry serve` as a process: it starts, ends in order, and its death or freezing is seen in time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest
from bundles import tiny_body, tiny_observation, write_tiny_bundle
from servers import ferry_serve

from policy_server.client import PolicyClient
from policy_server.errors import Refused, Unreachable
from policy_server.serve import listen, main


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    write_tiny_bundle(tmp_path / "bundle")
    (tmp_path / "token").write_text("secret\n")
    with ferry_serve(tmp_path / "bundle", "--token-file", str(tmp_path / "token")) as (url, process):
        assert httpx.get(f"{url}/readyz").status_code == 200
        with PolicyClient(url, token="secret", timeout_s=20) as client:
            assert client.open(tiny_body(), "find a mug").act(tiny_observation()).name == "move_ahead"
        with PolicyClient(url) as stranger, pytest.raises(Refused, match="authorization: got none"):
            stranger.manifest()
        process.send_signal(number)
        assert process.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_frozen_server_is_seen_in_time(tmp_path: Path, number: signal.Signals) -> None:
    write_tiny_bundle(tmp_path)
    with ferry_serve(tmp_path) as (url, process), PolicyClient(url, timeout_s=0.5) as client:
        session = client.open(tiny_body(), "find a mug")
        executed = session.act(tiny_observation()).name
        os.kill(process.pid, number)
        started = time.monotonic()
        with pytest.raises(Unreachable):
            session.act(tiny_observation(), executed)
        assert time.monotonic() - started < 3.0  # the limit is 0.5 s; a frozen server would never answer
        if number == signal.SIGSTOP:
            os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize("bad", ["truncated", "missing", "garbage", "action_count"])
def test_a_bad_bundle_is_one_line_and_code_2(tmp_path: Path, bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_bundle(tmp_path, bad=bad)
    assert main([str(tmp_path)]) == 2
    text = capsys.readouterr().err
    assert text.startswith("ferry serve: ")
    assert ".onnx" in text
    assert "expected" in text
    assert text.count("\n") == 1


def test_wrong_options_are_one_line_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_bundle(tmp_path / "bundle")
    (tmp_path / "empty").write_text("\n")
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        cases = {
            "--max-sessions: got 0, expected more than 0": ["--max-sessions", "0"],
            "--token-file: got an empty file": ["--token-file", str(tmp_path / "empty")],
            "No such file or directory": ["--token-file", str(tmp_path / "none")],
            f"127.0.0.1:{port}: Address already in use": ["--port", port],
        }
        for message, arguments in cases.items():
            assert main([str(tmp_path / "bundle"), *arguments]) == 2
            assert message in capsys.readouterr().err


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("--host", "--port", "--token-file", "--threads", "--max-sessions", "--session-timeout-s"):
        assert option in text
    assert "ferry export" in text
