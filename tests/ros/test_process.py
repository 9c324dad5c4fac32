"""The life of a node's process, with real signals."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
from ferry_ros.rclpy_support.process import fail, run
from ferry_ros.rclpy_support.spinner import Spinner, sibling_node
from rclpy.node import Node


class Patient(Node):
    """A node that remembers why it was closed."""

    def __init__(self) -> None:
        super().__init__("patient")
        self.finished, self.exit_code = threading.Event(), 0
        self.reasons: list[str] = []

    def close(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_start_closes_the_node_once_it_is_there(number: signal.Signals) -> None:
    made: list[Patient] = []

    def slow() -> Patient:
        os.kill(os.getpid(), number)
        made.append(Patient())
        return made[0]

    run(slow, [])
    assert made[0].reasons == [number.name]


def test_a_signal_that_another_thread_takes_ends_the_node() -> None:
    made: list[Patient] = []

    def take(node: Patient) -> None:
        time.sleep(0.5)  # the main thread waits by now, and nothing wakes it
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        time.sleep(5.0)
        node.reasons.append("nothing did")
        node.finished.set()

    def create() -> Patient:
        made.append(Patient())
        threading.Thread(target=take, args=(made[0],), daemon=True).start()
        return made[0]

    run(create, [])
    assert made[0].reasons == ["SIGINT"]


def test_a_second_signal_ends_a_start_that_does_not_end() -> None:
    def stuck() -> Patient:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(10.0)
        raise AssertionError("the second signal did not come through")

    run(stuck, [])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is printed, too
def test_a_callback_that_raises_closes_the_node_and_fails_the_process() -> None:
    made: list[Patient] = []

    def broken() -> Patient:
        node = Patient()
        node.create_timer(0.01, lambda: 1 // 0)
        made.append(node)
        return node

    with pytest.raises(SystemExit, match="1"):
        run(broken, [])
    assert made[0].reasons == ["ZeroDivisionError: integer division or modulo by zero"]


class Serving(Patient):
    """A node with a second one beside it, whose timer raises."""

    def __init__(self) -> None:
        super().__init__()
        other = sibling_node(self, "services")
        other.create_timer(0.01, lambda: 1 // 0)
        self._serving = Spinner(other, 2, partial(fail, self))

    def close(self, reason: str) -> None:
        super().close(reason)
        self._serving.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is printed, too
def test_a_node_whose_services_fail_does_not_go_on() -> None:
    made: list[Serving] = []

    def create() -> Serving:
        made.append(Serving())
        return made[0]

    with pytest.raises(SystemExit, match="1"):
        run(create, [])
    assert made[0].reasons == ["ZeroDivisionError: integer division or modulo by zero"]
