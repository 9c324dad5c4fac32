"""The emergency stop's latch: whatever comes in between, a press is never lost."""

from __future__ import annotations

from ferry_ros.estop.latch import EstopLatch


def test_it_keeps_its_first_reason_until_it_is_cleared() -> None:
    latch = EstopLatch()
    assert (latch.reason, latch.forwarded) == ("", "")
    latch.press("service")
    latch.press("topic")
    assert (latch.reason, latch.forwarded) == ("service", "service")
    with latch.clearing() as presses:
        assert (latch.reason, latch.forwarded) == ("service", "")  # still forbidden, but the robot node may let go
        assert latch.clear(presses)
    assert (latch.reason, latch.forwarded) == ("", "")


def test_a_press_ends_the_clearing_and_stays() -> None:
    latch = EstopLatch()
    latch.press("service")
    with latch.clearing() as presses:
        assert not latch.pressed_since(presses)
        latch.press("topic")
        assert latch.forwarded == "service"
        assert latch.pressed_since(presses)
        assert not latch.clear(presses)
    assert (latch.reason, latch.forwarded) == ("service", "service")


def test_a_clearing_that_fails_leaves_it_as_it_was() -> None:
    latch = EstopLatch()
    latch.press("service")
    try:
        with latch.clearing():
            raise RuntimeError("the robot node is gone")
    except RuntimeError:
        pass
    assert (latch.reason, latch.forwarded) == ("service", "service")


def test_what_is_pressed_while_it_is_clear_and_being_cleared_stays() -> None:
    latch = EstopLatch()
    with latch.clearing() as presses:
        latch.press("topic")
        assert not latch.clear(presses)
    assert latch.reason == "topic"
