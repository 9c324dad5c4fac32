"""Substitutions: how they are quoted, escaped, nested and split into words."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from ferry.errors import LaunchError, Where
from ferry.launcher.template import Call, evaluate, evaluate_words, parse_template

HERE = Where(Path("a.launch.xml"), 7)


class Scope:
    """Two variables, one environment variable, one package."""

    variables: ClassVar = {"name": "two words", "which": "name", "quote": "it's"}
    environment: ClassVar = {"HOME": "/home/pat"}
    directory = Path("/launch")

    def share(self, package: str, where: Where) -> Path:
        return Path("/share") / package


def text(source: str) -> str:
    return evaluate(parse_template(source, HERE), Scope(), HERE)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$(var name)", "two words"),
        ("<$(var name)>", "<two words>"),
        ("$(var $(var which))", "two words"),
        ("$(var missing fallback)", "fallback"),
        ("$(var missing 'two parts')", "two parts"),
        ('$(var missing "$(var quote) here")', "it's here"),
        ("$(var missing '')", ""),
        ("$(env HOME)/data", "/home/pat/data"),
        ("$(env FERRY_UNSET /tmp)", "/tmp"),
        ("$(dirname)/x.xml", "/launch/x.xml"),
        ("$(find-pkg-share ferry_ros)/config", "/share/ferry_ros/config"),
        ("$(find-pkg-share $(var missing ferry_ros))", "/share/ferry_ros"),
        (r"\$(var name)", "$(var name)"),
        (r"a\\b", r"a\b"),
        (r"a\\$(var name)", r"a\$(var name)"),
        ("5 $ each", "5 $ each"),
        (r"$(var missing \(round\))", "(round)"),
    ],
)
def test_text(source: str, expected: str) -> None:
    assert text(source) == expected


def test_a_template_is_data() -> None:
    parsed = parse_template("a$(var x $(dirname))", HERE)
    assert parsed == ("a", Call("var", (("x",), (Call("dirname", ()),))))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "$(vra x)",
            "unknown substitution: got 'vra'; available: dirname, env, find-pkg-share, var; did you mean 'var'?",
        ),
        ("$(eval 1 + 1)", "unknown substitution: got 'eval'"),
        ("$()", "unknown substitution: got ')'"),
        ("$(var name", "$(var is not closed by a round bracket: got '$(var name'"),
        ("$(var 'name)", "a quoted argument is not closed by ': got"),
        ("$(var)", "$(var ...) takes 1 to 2 argument(s): got '$(var)'"),
        ("$(dirname up)", "$(dirname ...) takes 0 argument(s)"),
    ],
)
def test_mistakes_are_named_with_their_place(source: str, message: str) -> None:
    with pytest.raises(LaunchError) as caught:
        parse_template(source, HERE)
    assert str(caught.value).startswith("a.launch.xml:7: ")
    assert message in str(caught.value)


def test_an_unknown_variable_lists_those_there_are() -> None:
    with pytest.raises(LaunchError, match="no such launch argument or variable: got 'names'"):
        text("$(var names)")


def test_an_unset_environment_variable_without_default() -> None:
    with pytest.raises(LaunchError, match="FERRY_UNSET"):
        text("$(env FERRY_UNSET)")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("ferry serve", ("ferry", "serve")),
        ("say $(var name)", ("say", "two words")),
        ("say $(var name) --to x", ("say", "two words", "--to", "x")),
        ("--name=$(var name)", ("--name=two words",)),
        ("$(dirname)/run $(var quote)$(var name)", ("/launch/run", "it'stwo words")),
        ("say 'one word' two", ("say", "one word", "two")),
        ("$(var quote) $(var quote)", ("it's", "it's")),
        ("", ()),
    ],
)
def test_words_are_split_where_they_are_written(source: str, expected: tuple[str, ...]) -> None:
    assert evaluate_words(parse_template(source, HERE), Scope(), HERE) == expected


def test_a_quote_that_is_not_closed_in_a_command_line() -> None:
    with pytest.raises(LaunchError, match='command line has no closing quotation: got "say \'a"'):
        evaluate_words(parse_template("say 'a", HERE), Scope(), HERE)
