"""A Piper on a CAN bus, in its own process: speaks the frames of piper_sdk and fails on demand.

`python -m robots.fakes.piper.process --channel 239.74.163.2:43113` is received by every program here that opens
python-can's "udp_multicast" bus with that port, whatever its group: give each fake a port of its own.

Faults begin after a time (`--fault estop@5`) or when their name comes in on standard input, one a line; `heal` ends
them. A multicast bus cannot go off, so for `bus-off` the fake sends the error frame that Linux delivers when a CAN
controller leaves the bus, and then neither receives nor sends.
"""

from __future__ import annotations

import argparse
import math
import os
import select
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from robots.drivers.piper.can_bus import open_bus
from robots.errors import ConnectionFailed
from robots.fakes.piper.arm import FAULTS, HEAL, PiperArm
from robots.processes.signals import on_end

MILLIDEGREES = 1000.0 * 180.0 / math.pi
MOTORS_EVERY = 10  # motor states come with every tenth round of joint angles
ERROR_BUS_OFF, ERROR_RESTARTED = 0x40, 0x100  # Linux include/uapi/linux/can/error.h


class FakePiper:
    """Answers on a python-can bus like the arm.

    Args:
        bus: an open python-can bus.
        arm: what moves.
        rate_hz: how often feedback is sent; 200 on the real arm.
        latency_s: how much later commands act.
        faults: (seconds from now, name) in any order.
    """

    def __init__(
        self,
        bus: Any,
        arm: PiperArm,
        rate_hz: float = 200.0,
        latency_s: float = 0.0,
        faults: Sequence[tuple[float, str]] = (),
    ) -> None:
        self.bus, self.arm = bus, arm
        self._period_s, self._latency_s = 1.0 / rate_hz, latency_s
        self._began_s = self._moved_s = time.monotonic()
        self._due = sorted(faults)
        self._waiting: deque[tuple[float, int, bytes]] = deque()
        self._rounds = 0
        self._frozen: list[tuple[int, bytes]] = []

    def round(self) -> None:
        """Receives for one period, then moves and sends feedback."""
        self._listen(self._moved_s + self._period_s)
        now = time.monotonic()
        while self._due and now - self._began_s >= self._due[0][0]:
            self.fail(self._due.pop(0)[1])
        self.arm.step(min(now - self._moved_s, 0.05))
        self._moved_s = now
        self._tell()

    def fail(self, fault: str) -> None:
        """Lets a fault out of FAULTS begin now, or ends them all with HEAL."""
        if fault == "bus-off":
            self._send_error(ERROR_BUS_OFF)
        if fault == HEAL and "bus-off" in self.arm.faults:
            self._send_error(ERROR_RESTARTED)
        self._frozen = self._joint_frames() if fault == "freeze" else []
        self.arm.fail(fault)

    @property
    def _silent(self) -> bool:
        return bool(self.arm.faults & {"lose", "bus-off"})

    def _listen(self, until_s: float) -> None:
        while (left_s := until_s - time.monotonic()) > 0:
            message = self.bus.recv(left_s)
            if message is not None and not message.is_error_frame and message.arbitration_id in COMMANDS:
                self._waiting.append((time.monotonic() + self._latency_s, message.arbitration_id, bytes(message.data)))
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, identifier, data = self._waiting.popleft()
                if not self._silent:
                    COMMANDS[identifier](self.arm, data)

    def _tell(self) -> None:
        if self._silent:
            return
        frames = self._frozen or self._joint_frames()
        frames = [*frames, (0x2A1, self._status())]
        if self._rounds % MOTORS_EVERY == 0:
            frames += [(0x261 + number, self._motor()) for number in range(6)]
        self._rounds += 1
        for identifier, data in frames:
            self._send(identifier, data)

    def _joint_frames(self) -> list[tuple[int, bytes]]:
        q = [round(joint.position * MILLIDEGREES) for joint in self.arm.joints]
        joints = [(0x2A5 + pair, struct.pack(">ii", q[2 * pair], q[2 * pair + 1])) for pair in range(3)]
        state = 0xC0 if self.arm.gripper_enabled else 0x80  # homed, and enabled
        gripper = struct.pack(">ihBB", round(self.arm.gripper.position * 1e6), 0, state, 0)
        return [*joints, (0x2A8, gripper)]

    def _status(self) -> bytes:
        moving = any(abs(joint.speed) > 1e-4 for joint in self.arm.joints)
        return bytes([self.arm.mode, 1 if "estop" in self.arm.faults else 0, self.arm.move_mode, 0, moving, 0, 0, 0])

    def _motor(self) -> bytes:
        status = (0x40 if self.arm.enabled else 0) | (0x02 if "hot" in self.arm.faults else 0)
        return struct.pack(">HhbBH", 240, 35, 90 if "hot" in self.arm.faults else 33, status, 400)

    def _send(self, identifier: int, data: bytes) -> None:
        import can  # type: ignore[import-untyped,import-not-found,unused-ignore]

        self.bus.send(can.Message(arbitration_id=identifier, data=data, is_extended_id=False))

    def _send_error(self, error_class: int) -> None:
        import can  # type: ignore[import-untyped,import-not-found,unused-ignore]

        self.bus.send(can.Message(arbitration_id=error_class, data=bytes(8), is_extended_id=False, is_error_frame=True))


def _joints(arm: PiperArm, first: int, data: bytes) -> None:
    one, two = struct.unpack(">ii", data)
    arm.target(first, (one / MILLIDEGREES, two / MILLIDEGREES))


def _emergency(arm: PiperArm, data: bytes) -> None:
    if data[0] == 0x01:
        arm.fail("estop")
    elif data[0] == 0x02:
        arm.reset()


def _gripper(arm: PiperArm, data: bytes) -> None:
    aperture, _, code, _ = struct.unpack(">ihBB", data)
    arm.target_gripper(aperture * 1e-6, bool(code & 0x01))


COMMANDS: dict[int, Any] = {
    0x150: _emergency,
    0x151: lambda arm, data: arm.set_mode(data[0], data[1], data[2]),
    0x155: lambda arm, data: _joints(arm, 0, data),
    0x156: lambda arm, data: _joints(arm, 2, data),
    0x157: lambda arm, data: _joints(arm, 4, data),
    0x159: _gripper,
    0x471: lambda arm, data: arm.enable(data[1] == 0x02),
}
"""CAN identifier -> what the arm does for its eight bytes: piper_sdk piper_msgs/msg_v2/can_id.py and transmit/."""


def fault_at(text: str) -> tuple[float, str]:
    """`NAME@SECONDS` as (seconds, name)."""
    name, _, seconds = text.partition("@")
    if name not in (*FAULTS, HEAL):
        raise argparse.ArgumentTypeError(f"got {name!r}, expected one of {', '.join(FAULTS)}")
    return float(seconds or 0.0), name


def parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    made = argparse.ArgumentParser(prog="ferry fake piper", description=__doc__)
    made.add_argument(
        "--channel", default="239.74.163.2:43113", help="CAN interface, or multicast GROUP:PORT (default %(default)s)"
    )
    made.add_argument("--interface", default="udp_multicast", help="python-can's kind of bus (default %(default)s)")
    made.add_argument("--rate-hz", type=float, default=200.0, help="feedback rounds a second (default %(default)s)")
    made.add_argument("--latency-s", type=float, default=0.0, help="how much later commands act (default %(default)s)")
    made.add_argument(
        "--fault", type=fault_at, action="append", default=[], help=f"NAME@SECONDS; names: {', '.join(FAULTS)}"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the fake until a signal ends it."""
    options = parser().parse_args(argv)
    try:
        opened = open_bus(options.channel, options.interface)
    except ConnectionFailed as error:
        print(error, file=sys.stderr)
        return 1
    ended: list[int] = []
    on_end(lambda got, _: ended.append(got))
    with opened as bus:
        fake = FakePiper(bus, PiperArm(), options.rate_hz, options.latency_s, options.fault)
        print(f"ready: piper on {options.channel} ({options.interface})", flush=True)
        _serve(fake, ended)
    return 0


def _serve(fake: FakePiper, ended: list[int]) -> None:
    """Rounds until a signal; names of faults are read from standard input as long as it is open."""
    source: list[Any] = [sys.stdin]
    while not ended:
        fake.round()
        if source and select.select(source, [], [], 0)[0]:
            text = os.read(sys.stdin.fileno(), 1024).decode()
            if not text:
                source.clear()
            for word in text.split():
                if word in (*FAULTS, HEAL):
                    fake.fail(word)
                else:
                    print(f"unknown fault {word!r}; known: {', '.join(FAULTS)}, {HEAL}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
