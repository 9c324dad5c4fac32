"""The house style that a machine can see: short files, short functions, annotations, documentation, tests."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ["robots", "simulation", "policy_server", "training", "evaluation", "ferry", "ros2_ws/src/ferry_ros/ferry_ros"]
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def public(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions, classes and methods of public classes; a property speaks for its setter."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                methods = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
                yield from (method for method in methods if not method.name.startswith("_") and not is_setter(method))


def is_setter(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(one, ast.Attribute) and one.attr == "setter" for one in method.decorator_list)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_and_its_functions_too(path: Path) -> None:
    lines = path.read_text().count("\n")
    assert lines <= 400, f"{lines} lines: one noun per file"
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions(path) if f.end_lineno - f.lineno + 1 > 80}
    assert not long


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_everything_public_is_annotated_and_documented(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), "the module says nothing of itself"
    for node in public(path):
        assert ast.get_docstring(node), f"{node.name} is not documented"
        if not isinstance(node, ast.ClassDef):
            assert node.returns is not None, f"{node.name} has no return annotation"
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            bare = [one.arg for one in arguments if one.annotation is None and one.arg not in ("self", "cls")]
            assert not bare, f"{node.name}: {bare} not annotated"


def test_most_files_and_functions_are_short() -> None:
    lengths = sorted(path.read_text().count("\n") for path in SOURCES if path.name != "__init__.py")
    assert lengths[len(lengths) // 2] <= 150
    spans = sorted(f.end_lineno - f.lineno + 1 for path in SOURCES for f in functions(path))
    assert spans[len(spans) // 2] <= 10
    assert spans[int(len(spans) * 0.9)] <= 35


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in TESTS if path.name not in ("conftest.py",)]
    assert len(names) == len(set(names))


def test_shipped_policies_fit_into_git_and_name_no_machine() -> None:
    for bundle in (ROOT / "policies").iterdir():
        files = list(bundle.iterdir())
        assert sum(file.stat().st_size for file in files) < 8e6
        private = (str(ROOT).encode(), b"/home/", b"site-packages", b"stack_trace")
        assert not any(word in file.read_bytes() for file in files for word in private)


def test_results_of_benchmarks_name_no_machine() -> None:
    for file in (ROOT / "benchmarks" / "results").rglob("*.jsonl"):
        assert not re.search(r"/(home|root|work|tmp)/|/bin/python", file.read_text()), file.name
