"""A second publisher of a base's odometry is refused and stops the base: real nodes, over DDS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fake_arm import during
from fake_locobot import fake_locobot
from fake_stretch import fake_stretch
from geometry_msgs.msg import Twist
from intruder import intruder, odometry_at, record
from nav_msgs.msg import Odometry
from ros_graph import wait_until

from robots.command import MoveBase
from robots.errors import ConnectionFailed

DISBELIEVED = ("two publishers: ", "feedback jumps: ")


@pytest.fixture(scope="module", params=["locobot", "stretch"])
def fake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("fake")
    with fake_locobot(folder) if request.param == "locobot" else fake_stretch(folder) as running:
        yield running


def test_another_odometry_is_refused_by_name_when_connecting(fake: Any) -> None:
    with intruder(fake.namespace, Odometry, "odom", listens=False) as liar:
        liar.go_on(odometry_at(5.0))
        with pytest.raises(ConnectionFailed, match=r"two publishers: .*joint_state_publisher|feedback jumps"):
            fake.robot().connect()


def test_another_odometry_stops_the_base_and_the_robot_can_be_used_again_after_it(fake: Any) -> None:
    topic = "mobile_base/commands/velocity" if "locobot" in fake.namespace else "stretch/cmd_vel"
    sent: list[Twist] = record(fake.link, Twist, topic)
    with fake.robot(connect_timeout_s=10.0) as robot:
        wait_until(lambda: not robot.health().fault)
        x = robot.pose[0]
        with ExitStack() as stack:

            def lie() -> None:
                stack.enter_context(intruder(fake.namespace, Odometry, "odom", listens=False)).go_on(odometry_at(5.0))

            step = MoveBase(0.2)
            ended = during(robot, step, lambda: robot.pose[0] > x + 0.005, lie)
            assert ended.blocked.startswith(DISBELIEVED), ended
            wait_until(lambda: sent[-1].linear.x == 0.0)
            count = len(sent)
            assert robot.execute(step).refused.startswith(DISBELIEVED)
            assert all(one.linear.x == one.angular.z == 0.0 for one in sent[count:])
            assert robot.pose[0] < x + 0.2
        wait_until(lambda: not robot.health().fault, 30.0)
        robot.observe()
        assert robot.execute(MoveBase(-0.05)).executed
        assert max(abs(one.linear.x) for one in sent) <= robot.spec.base.max_speed_mps + 1e-9
