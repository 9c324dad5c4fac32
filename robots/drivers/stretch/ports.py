"""Serial lines of a started Stretch: counts their errors, discards late replies, opens a line again.

What stretch_body (0.7.31) does when a line fails once, and what is done about it here:
- a board whose write took longer than 1 s (this process was suspended), or whose cable was out for a moment, loses its
  port for good, and every later request returns at once, without an error: the line is opened again;
- a servo chain keeps a port on which every request fails for good: likewise;
- a reply that comes after its time limit is taken for the reply to a later request: late replies are discarded.
"""

from __future__ import annotations

import logging
import termios
import time
from contextlib import suppress
from typing import Any

LATE_S = 0.02
"""A late reply has come by then, or the device is lost."""


def transports(robot: Any) -> dict[str, Any]:
    """Name of a board's line -> the SDK's connection to the board."""
    base = robot.base
    return {
        "hello-pimu": robot.pimu.transport,
        "hello-wacc": robot.wacc.transport,
        "hello-motor-lift": robot.lift.motor.transport,
        "hello-motor-arm": robot.arm.motor.transport,
        "hello-motor-left-wheel": base.left_wheel.transport,
        "hello-motor-right-wheel": base.right_wheel.transport,
    }


def chains(robot: Any) -> dict[str, Any]:
    """Name of a servo bus's line -> the SDK's chain."""
    return {"hello-dynamixel-head": robot.head, "hello-dynamixel-wrist": robot.end_of_arm}


def transport_errors(robot: Any) -> int:
    """Number of failed requests to boards so far; the SDK only counts them, and drops the command."""
    counts = (transport.status["sync"] for transport in transports(robot).values())
    return sum(count["read_error"] + count["write_error"] for count in counts)


def flush(robot: Any) -> None:
    """Throws replies of boards away that came too late: the SDK would take each for the answer to the next request."""
    time.sleep(LATE_S)
    for transport in transports(robot).values():
        try:
            with transport.lock:
                transport.ser.reset_input_buffer()
        except (AttributeError, OSError, termios.error):  # it has none, or its device is gone
            logging.getLogger(__name__).debug("%s cannot be flushed", transport.port_name, exc_info=True)


def flush_chain(chain: Any) -> None:
    """The same for the servos of a chain; also frees a port that an error left marked as in use."""
    with chain.pt_lock:
        time.sleep(LATE_S)
        for port in _handlers(chain):
            port.is_using = False
            with suppress(OSError, termios.error):
                port.clearPort()


def whole(chain: Any) -> bool:
    """True when the replies to the last position and velocity requests have the right sizes: none was another's."""
    readers = (chain.readers[name] for name in ("pos", "vel") if name in chain.readers)
    return all(len(data) == reader.data_length for reader in readers for data in reader.data_dict.values())


def reopen(robot: Any, device: str) -> None:
    """Closes the line of `device` and opens it again; logs what is in the way. Moves nothing."""
    boards, buses = transports(robot), chains(robot)
    try:
        if device in buses:
            _reopen_chain(buses[device])
        elif "wheel" in device:  # they are read together
            for wheel in ("hello-motor-left-wheel", "hello-motor-right-wheel"):
                _reopen_board(boards[wheel])
        elif device in boards:
            _reopen_board(boards[device])
    except (OSError, termios.error):
        logging.getLogger(__name__).debug("%s cannot be opened", device, exc_info=True)


def close(robot: Any) -> None:
    """Closes every line; never raises."""
    ports = [getattr(transport, "ser", None) for transport in transports(robot).values()]
    ports += [port.ser for chain in chains(robot).values() for port in _handlers(chain)]
    for port in ports:
        if port is not None:
            _close(port)


def _reopen_board(transport: Any) -> None:
    with transport.lock:
        version, port = transport.version, getattr(transport, "ser", None)
        if port is not None:
            _close(port)
        if transport.startup():
            transport.set_version(version)


def _reopen_chain(chain: Any) -> None:
    with chain.pt_lock:
        for port in _handlers(chain):
            port.is_using = False
            port.setupPort(port.baudrate)


def _handlers(chain: Any) -> list[Any]:
    """The chain's port, and those that its servos opened on the same line."""
    found = [chain.port_handler, *(servo.motor.port_handler for servo in chain.motors.values() if servo.motor)]
    return list({id(port): port for port in found if port is not None}.values())


def _close(port: Any) -> None:
    try:
        port.close()
    except OSError:  # the device behind it is gone
        logging.getLogger(__name__).debug("%s did not close", port, exc_info=True)
