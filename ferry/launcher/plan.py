"""Resolves a launch file and its arguments to the processes to run, as `ros2 launch` would."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from ferry.errors import LaunchError, Where
from ferry.launcher.grammar import ON_EXIT, OUTPUTS, PARAM_TYPES, Element
from ferry.launcher.lookup import Lookup, Program
from ferry.launcher.template import Template, evaluate, evaluate_words
from ferry.launcher.xml_file import read_launch_file

_NOT_PLAIN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters that YAML treats as a line break, or rejects, unless they are escaped."""


@dataclass(frozen=True)
class Process:
    """One process of a launch."""

    name: str
    origin: str
    """ "package/executable" of a node, the first word of an executable's command."""
    program: Program
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    """Variables added by `<set_env>` and `<env>`."""
    output: str
    respawn: bool
    respawn_delay_s: float
    where: Where

    @property
    def is_fake(self) -> bool:
        """True for a fake of a robot's hardware or software."""
        package, _, executable = self.origin.partition("/")
        return executable.startswith("fake_") or (package == "ferry" and self.arguments[:1] == ("fake",))

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command line."""
        return (*self.program.words, *self.arguments)


@dataclass
class _Scope:
    """Variables at one position of a file; a group has its own copy, an included file shares its parent's."""

    variables: dict[str, str]
    namespace: str | None
    directory: Path
    lookup: Lookup
    set_environment: dict[str, str] = field(default_factory=dict)
    """Variables set by `<set_env>` so far."""

    @property
    def environment(self) -> Mapping[str, str]:
        return {**os.environ, **self.set_environment}

    def share(self, package: str, where: Where) -> Path:
        return self.lookup.share(package, where)


def plan(file: Path, arguments: Mapping[str, str], lookup: Lookup | None = None) -> tuple[Process, ...]:
    """Returns the processes of a launch file in the order in which they start.

    Args:
        file: the launch file.
        arguments: values of launch arguments; absent ones take their defaults.
        lookup: search path for ROS packages.

    Raises:
        LaunchError: the file or the arguments cannot be resolved; nothing has been started.
    """
    lookup = lookup or Lookup.from_environment()
    planner = _Planner(_Scope(dict(arguments), None, file.resolve().parent, lookup))
    planner.body(read_launch_file(file))
    taken: Counter[str] = Counter()
    unique = []
    for process in planner.processes:
        taken[process.name] += 1
        count = taken[process.name]
        unique.append(process if count == 1 else replace(process, name=f"{process.name}-{count}"))
    return tuple(unique)


def defaults(file: Path, arguments: Mapping[str, str], lookup: Lookup | None = None) -> dict[str, str]:
    """Returns the values of a launch file's arguments, as they are with the given ones; fewer if it cannot be resolved.

    Raises:
        LaunchError: the file cannot be read.
    """
    lookup = lookup or Lookup.from_environment()
    planner = _Planner(_Scope(dict(arguments), None, file.resolve().parent, lookup))
    root = read_launch_file(file)
    with suppress(LaunchError):  # `plan` reports what is missing
        planner.body(root)
    return planner.values


class _Planner:
    """Walks the elements of one scope in order; `values` are those of the arguments that it met."""

    def __init__(self, scope: _Scope, values: dict[str, str] | None = None) -> None:
        self.scope = scope
        self.values: dict[str, str] = {} if values is None else values
        self.processes: list[Process] = []
        self.actions: Mapping[str, Callable[[Element], None]] = {
            "arg": self.arg,
            "let": self.let,
            "set_env": self.set_env,
            "group": self.group,
            "include": self.include,
            "push_ros_namespace": self.push_namespace,
            "push-ros-namespace": self.push_namespace,
            "node": self.node,
            "executable": self.executable,
        }

    def body(self, parent: Element) -> None:
        for element in parent.children:
            if self.applies(element):
                self.actions[element.tag](element)

    def text(self, element: Element, attribute: str, default: str = "") -> str:
        template: Template = element.attributes.get(attribute, (default,))
        return evaluate(template, self.scope, element.where)

    def applies(self, element: Element) -> bool:
        if "if" in element.attributes:
            return _truth(self.text(element, "if"), element.where)
        return not ("unless" in element.attributes and _truth(self.text(element, "unless"), element.where))

    def arg(self, element: Element) -> None:
        name = element.literal("name")
        if name not in self.scope.variables:
            if "default" not in element.attributes:
                description = element.literal("description")
                raise LaunchError(element.where, f"launch argument {name!r} ({description}) needs a value", "none")
            self.scope.variables[name] = self.text(element, "default")
        self.values.setdefault(name, self.scope.variables[name])
        choices = [choice.literal("value") for choice in element.named("choice")]
        if choices and self.scope.variables[name] not in choices:
            raise LaunchError(element.where, f"launch argument {name!r}", self.scope.variables[name], choices)

    def let(self, element: Element) -> None:
        self.scope.variables[self.text(element, "name")] = self.text(element, "value")

    def set_env(self, element: Element) -> None:
        self.scope.set_environment[self.text(element, "name")] = self.text(element, "value")

    def group(self, element: Element) -> None:
        own = dict(self.scope.variables), dict(self.scope.set_environment)
        inner = _Planner(replace(self.scope, variables=own[0], set_environment=own[1]), self.values)
        inner.body(element)
        self.processes += inner.processes

    def include(self, element: Element) -> None:
        file = Path(self.text(element, "file"))
        root = read_launch_file(file)
        for argument in element.named("arg"):
            self.scope.variables[self.text(argument, "name")] = self.text(argument, "value")
        directory, self.scope.directory = self.scope.directory, file.resolve().parent
        self.body(root)
        self.scope.directory = directory

    def push_namespace(self, element: Element) -> None:
        self.scope.namespace = _join_namespace(self.scope.namespace, self.text(element, "namespace"))

    def executable(self, element: Element) -> None:
        words = evaluate_words(element.attributes["cmd"], self.scope, element.where)
        if not words:
            raise LaunchError(element.where, "cmd of <executable>", "nothing")
        program = self.scope.lookup.command(words[0], element.where)
        name = self.text(element, "name", Path(words[0]).name)
        self.add(element, name, Path(words[0]).name, program, words[1:])

    def node(self, element: Element) -> None:
        package, executable = self.text(element, "pkg"), self.text(element, "exec")
        program = self.scope.lookup.node(package, executable, element.where)
        name = self.text(element, "name")
        namespace = self.scope.namespace
        if "namespace" in element.attributes:
            namespace = _join_namespace(namespace, self.text(element, "namespace"))
        words = list(evaluate_words(element.attributes.get("args", ()), self.scope, element.where))
        words += ["--ros-args"]
        words += ["-r", f"__node:={name}"] if name else []
        words += ["-r", f"__ns:={namespace}"] if namespace else []
        for param in element.named("param"):
            words += self.param(param)
        for remap in element.named("remap"):
            words += ["-r", f"{self.text(remap, 'from')}:={self.text(remap, 'to')}"]
        self.add(element, name or executable, f"{package}/{executable}", program, tuple(words))

    def param(self, element: Element) -> list[str]:
        if "from" in element.attributes:
            return ["--params-file", _checked_parameters(Path(self.text(element, "from")), element.where)]
        name, kind = self.text(element, "name"), element.literal("type")
        value = _typed(self.text(element, "value"), kind, f"parameter {name!r}", element.where)
        return ["-p", f"{name}:={_yaml(value, f'parameter {name!r}', element.where)}"]

    def add(self, element: Element, name: str, origin: str, program: Program, words: tuple[str, ...]) -> None:
        output = self.text(element, "output", "log")
        if output not in OUTPUTS:
            raise LaunchError(element.where, f"output of <{element.tag}>", output, OUTPUTS)
        if (on_exit := self.text(element, "on_exit", "shutdown")) not in ON_EXIT:
            raise LaunchError(element.where, f"on_exit of <{element.tag}>", on_exit, ON_EXIT)
        delay_s = _typed(self.text(element, "respawn_delay", "0"), "float", "respawn_delay", element.where)
        assert isinstance(delay_s, float)
        self.processes.append(
            Process(
                name=name,
                origin=origin,
                program=program,
                arguments=words,
                environment={
                    **self.scope.set_environment,
                    **{self.text(env, "name"): self.text(env, "value") for env in element.named("env")},
                },
                output=output,
                respawn=_truth(self.text(element, "respawn", "false"), element.where),
                respawn_delay_s=delay_s,
                where=element.where,
            )
        )


def _yaml(value: object, what: str, where: Where) -> str:
    """Writes a value for ROS's parameter parser, which accepts no surrogates, neither paired nor alone."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise LaunchError(where, f"{what} is not valid UTF-8", value) from error
    return _NOT_PLAIN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _truth(text: str, where: Where) -> bool:
    """Reads a condition as ROS 2 does: "true", "1", "false" or "0" in any case, and nothing else."""
    word = text.strip().lower()
    if word not in ("true", "1", "false", "0"):
        raise LaunchError(where, "a condition must be true or false", text, ["true", "1", "false", "0"])
    return word in ("true", "1")


def _typed(text: str, kind: str, what: str, where: Where) -> bool | int | float | str | list[object]:
    """Reads a value as the type it was declared with, or as YAML when none was."""
    if kind and kind not in PARAM_TYPES:
        raise LaunchError(where, f"type of {what}", kind, PARAM_TYPES)
    if kind == "str":
        return text
    try:
        if kind == "bool":
            return _truth(text, where)
        value = {"int": int, "float": float, "": yaml.safe_load}[kind](text)  # type: ignore[operator]
    except (ValueError, yaml.YAMLError) as error:
        raise LaunchError(where, f"{what} is not of the type {kind or 'YAML'}", text) from error
    return value if isinstance(value, (bool, int, float, str, list)) else text


def _checked_parameters(file: Path, where: Where) -> str:
    """Returns the path of a parameter file, all of whose parameters must be under `/**`.

    Under a node's own name they would take precedence over a later `-p`, which carries <param name=...> here.
    """
    if not file.is_file():
        raise LaunchError(where, "no such parameter file", str(file))
    try:
        sections = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise LaunchError(where, f"{file.name} is not YAML", str(error)) from error
    if not isinstance(sections, dict) or list(sections) != ["/**"]:
        got = list(sections) if isinstance(sections, dict) else sections
        raise LaunchError(where, f"sections of the parameter file {file.name}", got, ["/**"])
    return str(file)


def _join_namespace(base: str | None, namespace: str) -> str:
    """Returns an absolute namespace without a slash at its end; one that starts with a slash is already absolute."""
    joined = namespace if namespace.startswith("/") else f"{base or ''}/{namespace}"
    return "/" + joined.strip("/")
