from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hosts import OPTIONS, Host, wait_for

from robots.command import MoveBase, Stop
from robots.errors import RobotError
from robots.execution.command_request import CommandRequest
from robots.fakes.kinematic import FakeRobot

TIMEOUT_S = 1.0


@pytest.fixture
def host() -> Iterator[Host]:
    """A robot whose driver must be heard."""
    host = Host(FakeRobot(), replace(OPTIONS, heartbeat_timeout_s=TIMEOUT_S))
    with host.executor:
        yield host


def refusal(host: Host, lease: str) -> str:
    """Why a fresh order under `lease` is not executed; empty when it is."""
    seen = len(host.observations)
    wait_for(lambda: len(host.observations) > seen)
    host.executor.submit(CommandRequest(host.observations[-1].stamp_ns, MoveBase(0.01), 4.0, lease))
    wait_for(lambda: host.results)
    return host.results.pop().sent.refused


def test_nothing_moves_without_a_lease(host: Host) -> None:
    host.begin()
    assert refusal(host, "").startswith("no lease")
    assert refusal(host, "5f0c11ab90d2e3f4").startswith("no lease")
    assert host.robot.pose == (0.0, 0.0, 0.0)


def test_one_drives_at_a_time(host: Host) -> None:
    host.begin()
    with pytest.raises(RobotError, match="busy"):
        host.executor.begin()


def test_whoever_falls_silent_moves_nothing_when_it_is_back_until_a_new_trial(host: Host) -> None:
    lease = host.begin()
    host.executor.renew(lease)
    wait_for(lambda: host.stops)
    assert host.stops[0].startswith("policy heartbeat lost")
    host.executor.renew(lease)  # it is back, and knows of nothing
    assert refusal(host, lease).startswith("lease ended: policy heartbeat lost")
    assert host.robot.pose == (0.0, 0.0, 0.0)
    assert refusal(host, host.begin()) == ""


def test_heartbeats_of_another_lease_keep_none(host: Host) -> None:
    host.begin()
    deadline = time.monotonic() + 10.0
    while not host.stops and time.monotonic() < deadline:
        host.executor.renew("5f0c11ab90d2e3f4")
        time.sleep(0.05)
    assert host.stops[0].startswith("policy heartbeat lost")


def test_every_stop_ends_the_lease(host: Host) -> None:
    for stop in (
        lambda: host.executor.stop("operator stop"),
        lambda: (host.executor.hold("x", "y"), host.executor.release("x")),
        lambda: host.executor.restart(lambda: None),
        lambda: (host.executor.runstop(True), host.executor.runstop(False)),
    ):
        lease = host.begin()
        stop()
        assert refusal(host, lease).startswith("lease ended")


def test_a_stop_under_the_lease_is_a_pause_and_one_of_anybody_else_is_not(host: Host) -> None:
    lease = host.begin()
    host.executor.submit(CommandRequest(1, Stop(), 0.0, lease))
    wait_for(lambda: host.results)
    assert host.results.pop().sent.executed
    host.executor.renew(lease)
    assert refusal(host, lease) == ""
    host.executor.submit(CommandRequest(1, Stop(), 0.0))
    host.results.clear()
    assert refusal(host, lease) == "lease ended: stop command; begin a new trial"


def test_no_lease_is_handed_out_while_nothing_may_move(host: Host) -> None:
    host.executor.hold("e-stop", "e-stop: pressed")
    with pytest.raises(RobotError, match="e-stop"):
        host.executor.begin()


def test_given_back_it_is_free_for_the_next(host: Host) -> None:
    lease = host.begin()
    host.executor.give_back("5f0c11ab90d2e3f4")
    host.executor.give_back(lease)
    assert host.begin() != lease
