"""Parameters, the table of robots, YAML defaults: what a node declares is what its dataclass and its file say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import rclpy
import yaml
from ferry_ros import robot_registry
from ferry_ros.nodes.policy_options import PolicyNodeOptions
from ferry_ros.nodes.robot_node import RobotNodeOptions
from ferry_ros.rclpy_support import parameters
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from robots.errors import SpecError
from robots.fakes.kinematic import FakeOptions, FakeRobot
from robots.processes.text import documented

CONFIG = Path(__file__).parents[2] / "ros2_ws" / "src" / "ferry_ros" / "config"


@dataclass(frozen=True)
class Options:
    """Some options.

    Attributes:
        speed_mps: how fast,
            at most.
        name: of it.
        limit_s: when it ends.
    """

    speed_mps: float = 0.5
    name: str = "x"
    limit_s: float | None = None


@pytest.fixture
def node() -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context)
    node = Node("parameters", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def test_what_is_declared_can_be_read_and_described(node: Node) -> None:
    parameters.declare(node, Options, "body.")
    assert parameters.read(node, Options, "body.") == Options()
    assert node.describe_parameter("body.speed_mps").description == "how fast, at most."
    assert node.describe_parameter("body.limit_s").description == "when it ends. Negative: none."
    node.set_parameters([Parameter("body.limit_s", value=2.5), Parameter("body.name", value="y")])
    assert parameters.read(node, Options, "body.") == Options(name="y", limit_s=2.5)


def test_a_parameter_keeps_its_type(node: Node) -> None:
    parameters.declare(node, Options)
    assert not node.set_parameters([Parameter("speed_mps", value="fast")])[0].successful


def test_an_option_needs_a_default(node: Node) -> None:
    @dataclass
    class Needy:
        """It needs."""

        what: str

    with pytest.raises(TypeError, match="field 'what' has no default, so it cannot be a parameter"):
        parameters.declare(node, Needy)


@pytest.mark.parametrize("kind", [RobotNodeOptions, PolicyNodeOptions, FakeOptions])
def test_every_parameter_says_what_it_means(kind: type) -> None:
    described = documented(kind)
    assert set(described) == {one.name for one in fields(kind)}
    assert all(described.values())


@pytest.mark.parametrize(("name", "kind"), [("robot_node", RobotNodeOptions), ("policy_node", PolicyNodeOptions)])
def test_the_yaml_file_holds_every_parameter_with_its_type(name: str, kind: type) -> None:
    values = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())["/**"]["ros__parameters"]
    defaults = {one.name: one.default for one in fields(kind)}
    assert set(values) == set(defaults)
    assert {key: type(value) for key, value in values.items()} == {key: type(v) for key, v in defaults.items()}


def test_the_table_makes_bodies_by_name() -> None:
    body = robot_registry.body("fake")
    assert isinstance(body.create(body.options(height=42)), FakeRobot)
    twin = robot_registry.body("stretch_re1_twin")
    assert (twin.prefix, twin.options.__name__) == ("twin.", "TwinOptions")


def test_an_unknown_body_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(SpecError, match="robot: got 'unicorn'"):
        robot_registry.body("unicorn")


@pytest.mark.parametrize("name", ["control_period_s", "publish_rate_hz", "odom_rate_hz"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_of_the_robot_node_must_be_above_zero(name: str, value: float) -> None:
    with pytest.raises(SpecError, match=f"{name}: got {value}, expected a finite number above 0"):
        RobotNodeOptions(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.0, -0.3, 2.0, float("nan")])
def test_slow_is_never_faster_than_full(share: float) -> None:
    with pytest.raises(SpecError, match=rf"slow_speed: got {share}, expected a fraction in \(0, 1\]"):
        RobotNodeOptions(slow_speed=share)
