"""The command line: help without heavy imports, one line for what a user can mend, a traceback for our own mistakes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from ferry import cli, verbs
from ferry.errors import UsageError
from ferry.launcher.lookup import REPOSITORY
from ferry.verbs import VERBS, Verb

HEAVY = {
    "torch",
    "transformers",
    "onnx",
    "mujoco",
    "onnxruntime",
    "fastapi",
    "uvicorn",
    "rclpy",
    "jinja2",
    "tensorboard",
}

BLOCK = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
from ferry.cli import main
sys.exit(main(sys.argv[1:]))
"""


def ferry(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs ferry in a Python without the third-party packages that only some verbs need."""
    return subprocess.run(
        [sys.executable, "-c", BLOCK, *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False
    )


def replace_verb(monkeypatch: pytest.MonkeyPatch, run: Callable[..., int | None]) -> None:
    monkeypatch.setattr(verbs, "VERBS", {"serve": Verb("serves", "server", run)})
    monkeypatch.setattr(cli, "VERBS", verbs.VERBS)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help_where_its_extra_is_not_installed(verb: str) -> None:
    done = ferry(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"usage: ferry {verb}" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_lists_every_verb_on_one_line(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.split()[:1] == [verb]]
    assert line.endswith(VERBS[verb].summary)
    assert len(line) <= 100


def test_a_verb_names_the_extra_that_it_needs() -> None:
    done = ferry("serve", "policies/none")
    assert done.returncode == 2
    assert done.stderr.startswith("ferry serve: needs ")
    assert done.stderr.endswith("is not installed: pip install -e '.[server]'\n")
    assert done.stderr.count("\n") == 1


def test_every_extra_exists() -> None:
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for verb in VERBS.values():
        assert set(verb.extra.split(",")) <= set(project["optional-dependencies"])


def test_an_unknown_verb_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluates"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ferry evaluates: no such verb; available: train, export,")
    assert "did you mean 'evaluate'?" in error


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip().count(".") == 2


def test_a_typed_error_of_any_room_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from policy_server.errors import BundleError

    def fail(_argv: object) -> int:
        raise BundleError("policy.onnx is cut short:\n  got 3 bytes")

    replace_verb(monkeypatch, fail)
    assert cli.main(["serve", "x"]) == 2
    assert capsys.readouterr().err == "ferry serve: policy.onnx is cut short: got 3 bytes\n"
    with pytest.raises(BundleError):
        cli.main(["serve", "x", "--traceback"])


def test_an_error_of_the_operating_system_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_verb(monkeypatch, lambda _argv: open("/no/such/file").close())
    assert cli.main(["serve"]) == 2
    assert "No such file or directory: '/no/such/file'" in capsys.readouterr().err


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_verb(monkeypatch, lambda _argv: [].pop())
    with pytest.raises(IndexError):
        cli.main(["serve"])


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_argv: object) -> int:
        raise KeyboardInterrupt

    replace_verb(monkeypatch, interrupted)
    assert cli.main(["serve"]) == 130
    assert capsys.readouterr().err == "ferry serve: interrupted\n"


def test_a_missing_module_of_ours_is_not_blamed_on_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_argv: object) -> int:
        raise ModuleNotFoundError("No module named 'robots.gone'", name="robots.gone")

    replace_verb(monkeypatch, broken)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["serve"])


def test_a_broken_package_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_argv: object) -> int:
        raise ModuleNotFoundError("Could not import module 'X': operator torchvision::nms does not exist")  # no name

    replace_verb(monkeypatch, broken)
    assert cli.main(["serve"]) == 2
    assert "torchvision::nms does not exist" in capsys.readouterr().err


def test_a_verb_returns_its_own_status(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_verb(monkeypatch, lambda argv: len(argv))
    assert cli.main(["serve", "a", "b"]) == 2
    replace_verb(monkeypatch, lambda _argv: None)
    assert cli.main(["serve"]) == 0


def test_usage_errors_are_for_people() -> None:
    assert cli.is_user_error(UsageError("x"))
    assert cli.is_user_error(PermissionError(13, "no"))
    assert not cli.is_user_error(KeyError("x"))
