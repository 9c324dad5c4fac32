"""Parameters of a node, declared from a frozen dataclass: its fields, their types and defaults, its documentation.

None is no ROS parameter: a field that may be None is a number whose negative value means None.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from robots.processes.text import documented

T = TypeVar("T")

OFF = -1.0
"""Value that represents None."""


def declare(node: Node, kind: type[T], prefix: str = "") -> None:
    """Declares a parameter for every field of the dataclass `kind`, named `prefix` + field."""
    described = documented(kind)
    for item in fields(kind):  # type: ignore[arg-type]
        description = described.get(item.name, "") + (" Negative: none." if _default(item) is None else "")
        default = OFF if _default(item) is None else _default(item)
        node.declare_parameter(prefix + item.name, default, ParameterDescriptor(description=description))


def read(node: Node, kind: type[T], prefix: str = "") -> T:
    """Reads the current values of the parameters that `declare` declared, as a `kind`."""
    values: dict[str, Any] = {}
    for item in fields(kind):  # type: ignore[arg-type]
        value = node.get_parameter(prefix + item.name).value
        values[item.name] = None if _default(item) is None and value < 0 else value
    return kind(**values)


def _default(item: Field[Any]) -> Any:
    if item.default is MISSING:
        raise TypeError(f"field '{item.name}' has no default, so it cannot be a parameter")
    return item.default
