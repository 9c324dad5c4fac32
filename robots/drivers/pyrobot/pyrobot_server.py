"""Server beside PyRobot on a LoCoBot: moves it for one client over a socket, and stops it when requests cease.

This one file runs on Python 3.6 and newer with nothing but the standard library and PyRobot (facebookresearch/pyrobot,
ROS 1): copy it to the robot and run `python3 pyrobot_server.py --host 0.0.0.0` where `import pyrobot` works.
docs/pyrobot_protocol.md describes the protocol. Tilt is positive downwards here, as in PyRobot."""

# ruff: noqa: UP006, UP035, UP041, UP045
import argparse
import json
import math
import os
import signal
import socket
import struct
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

VERSION = 1
PERIOD_S = 0.05  # between two velocities: twice PyRobot's BASE_CONTROL_RATE
SILENCE_S = 0.5  # a client that is silent for longer has its robot stopped
STALE_S = 0.5  # odometry older than this: no motion
FROZEN_S = 1.0  # a camera without a new image for longer is frozen
ZERO_S = 0.5  # explicit zero is sent for so long after each motion
STANDS_S = 2.0  # time limit of the base to come to rest after a zero
STALL_S = 1.0  # a base that is driven and makes no headway for so long has met something
STALL = {"drive": 0.005, "turn": 0.01}  # headway [m], [rad]
ARRIVED = {"drive": 0.01, "turn": math.radians(1.0)}
CREEP = {"drive": 0.03, "turn": 0.12}  # slowest speed towards the goal [m/s], [rad/s]
LATENCY_S = 0.15  # from a velocity to its effect in the odometry: two periods of PyRobot's and Kobuki's loops; estimate
HEAD_ARRIVED_RAD = 0.015  # a little more than PyRobot's own 0.01
MOST_HEADER, MOST_BODY = 1 << 16, 1 << 25

Message = Dict[str, Any]


def write_message(connection: socket.socket, header: Message, body: bytes = b"") -> None:
    """Sends one message: the header's length (4 bytes, big-endian), the header as JSON, `header["bytes"]` of body."""
    text = json.dumps(dict(header, bytes=len(body))).encode("utf-8")
    connection.sendall(struct.pack(">I", len(text)) + text + body)


def read_message(connection: socket.socket) -> Tuple[Message, bytes]:
    """One message; EOFError when the other side closed, ValueError when it is none."""
    (length,) = struct.unpack(">I", _read(connection, 4))
    if not 2 <= length <= MOST_HEADER:
        raise ValueError(f"header: got {length} bytes, expected 2 to {MOST_HEADER}")
    header = json.loads(_read(connection, length).decode("utf-8"))
    size = header.get("bytes") if isinstance(header, dict) else None
    if not isinstance(size, int) or not 0 <= size <= MOST_BODY:
        raise ValueError(f"body: got {size} bytes, expected 0 to {MOST_BODY}")
    return header, _read(connection, size)


def _read(connection: socket.socket, size: int) -> bytes:
    parts = []  # type: List[bytes]
    while size:
        parts.append(connection.recv(min(size, 1 << 16)))
        if not parts[-1]:
            raise EOFError("the other side closed the connection")
        size -= len(parts[-1])
    return b"".join(parts)


class Watched:
    """A value that PyRobot's callbacks replace: how often, and how long ago for the last time."""

    def __init__(self, look: Callable[[], Any]) -> None:
        self._look, self._last, self._seen_s, self.number = look, None, -math.inf, 0

    def update(self) -> None:
        """Called all the time: notices a new object."""
        value = self._look()
        if value is not None and value is not self._last:
            self._last, self._seen_s, self.number = value, time.monotonic(), self.number + 1

    @property
    def age_s(self) -> float:
        """Since the value was replaced; 1e9 when it never was."""
        return min(1e9, time.monotonic() - self._seen_s)


class Machine:
    """PyRobot LoCoBot: its feedback, and motions with an end.

    `robot` is a `pyrobot.Robot`. PyRobot stamps nothing: a value is fresh when its callback replaced the object.
    """

    def __init__(self, robot: Any) -> None:
        self.robot, self.halt, self.why = robot, threading.Event(), ""
        self.odometry = Watched(lambda: robot.base.base_state.state)
        self.picture = Watched(lambda: robot.camera.rgb_img)
        self._touching, self._speed, self._zero_until_s = False, 0.0, 0.0
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def state(self) -> Message:
        """Pose (x [m], y [m], yaw [rad]), pan and tilt [rad], ages [s], and why it was stopped last."""
        camera, ages = self.robot.camera, {"odometry_age_s": self.odometry.age_s, "picture_age_s": self.picture.age_s}
        pose = self._pose() if self.odometry.number else None
        return dict(ages, pose=pose, pan=camera.get_pan(), tilt=camera.get_tilt(), stopped_because=self.why)

    def stop(self, why: str) -> None:
        """Ends a running motion: ramps the base to zero, holds the head."""
        self.why = why
        self.halt.set()

    def zero(self) -> None:
        """Explicit zero at once, and by `_watch` for a while after: no timeout of the base is relied on."""
        self._speed, self._zero_until_s = 0.0, time.monotonic() + ZERO_S
        self.robot.base.stop()

    def close(self) -> None:
        """Stops the base and ends the watch thread."""
        self.stop("lost: the server ends")
        self._stand()
        self._closed.set()

    def drive(self, kind: str, request: Message) -> str:
        """Drives [m] or turns [rad]; returns, once the base is at rest, why it did not arrive, or ""."""
        goal, top, slow, limit_s = (_number(request, name) for name in ("amount", "speed", "decel", "limit_s"))
        sign, goal, deadline_s = math.copysign(1.0, goal), abs(goal), time.monotonic() + limit_s
        events = self.robot.base.base_state
        events.bumper = events.cliff = events.wheel_drop = events.should_stop = False  # PyRobot never clears them
        travelled, self._speed, self._zero_until_s = self._travelled(kind, sign), 0.0, 0.0
        headway, moved_s, why = 0.0, time.monotonic(), ""
        while True:
            done = travelled()
            if goal - done <= min(ARRIVED[kind], goal / 2):
                break
            if done > headway + STALL[kind] or self._speed < min(CREEP[kind], top):
                headway, moved_s = done, time.monotonic()
            why = self._trouble(kind, sign, deadline_s, time.monotonic() - moved_s)
            if why:
                break
            ahead = max(0.0, goal - done - self._speed * LATENCY_S)
            wanted = max(min(CREEP[kind], top), min(top, math.sqrt(2 * slow * ahead)))
            self._speed = min(wanted, self._speed + slow * PERIOD_S)
            self._send(kind, sign * self._speed)
            time.sleep(PERIOD_S)
        self._ramp(kind, sign, math.inf if why.startswith("contact") else slow)
        if not why.startswith("contact") and (kind == "turn" or sign < 0):
            self._touching = False
        return why

    def look(self, request: Message) -> str:
        """Points the camera: pan and tilt [rad], tilt downwards; returns as `drive`."""
        pan, tilt, speed, limit_s = (_number(request, name) for name in ("pan", "tilt", "speed", "limit_s"))
        camera, goal, deadline_s = self.robot.camera, (pan, tilt), time.monotonic() + limit_s
        at = float(camera.get_pan()), float(camera.get_tilt())  # TypeError before the first joint states
        while True:
            now = camera.get_pan(), camera.get_tilt()
            if at == goal and all(abs(a - b) <= HEAD_ARRIVED_RAD for a, b in zip(now, goal)):
                return ""
            if self.halt.is_set() or time.monotonic() > deadline_s:
                camera.set_pan_tilt(now[0], now[1], wait=False)
                self._still(lambda: (camera.get_pan(), camera.get_tilt()))  # a servo overshoots, and comes back
                return self.why if self.halt.is_set() else "time limit: the head did not arrive"
            at = _nearer(at[0], pan, speed * PERIOD_S), _nearer(at[1], tilt, speed * PERIOD_S)
            camera.set_pan_tilt(at[0], at[1], wait=False)
            time.sleep(PERIOD_S)

    def _travelled(self, kind: str, sign: float) -> Callable[[], float]:
        x0, y0, yaw0 = self._pose()
        turned = [yaw0, 0.0]  # yaw seen last, and the sum of its changes

        def travelled() -> float:
            x, y, yaw = self._pose()
            turned[:] = yaw, turned[1] + (yaw - turned[0] + math.pi) % (2 * math.pi) - math.pi
            along = (x - x0) * math.cos(yaw0) + (y - y0) * math.sin(yaw0)
            return sign * (turned[1] if kind == "turn" else along)

        return travelled

    def _trouble(self, kind: str, sign: float, deadline_s: float, stalled_s: float) -> str:
        if self.halt.is_set():
            return self.why
        if self.odometry.age_s > STALE_S:
            return f"feedback stale: no odometry for {self.odometry.age_s:.1f} s"
        touched = next((e for e in ("bumper", "cliff", "wheel_drop") if getattr(self.robot.base.base_state, e)), "")
        # A Kobuki has its bumpers and cliff sensors in front, and PyRobot reports releases as presses: on the way out
        # of a contact an event means nothing.
        if touched and not (self._touching and kind == "turn") and not (kind == "drive" and sign < 0):
            self._touching = True
            return f"contact: {touched}"
        if stalled_s > STALL_S:
            return "contact: the base is driven and makes no headway"
        return "time limit: the base did not arrive" if time.monotonic() > deadline_s else ""

    def _send(self, kind: str, speed: float) -> None:
        # With exe_time 0 PyRobot's set_vel publishes once and returns; with more it blocks and then does not stop.
        self.robot.base.set_vel(speed if kind == "drive" else 0.0, speed if kind == "turn" else 0.0, exe_time=0)

    def _ramp(self, kind: str, sign: float, decel: float) -> None:
        while self._speed > decel * PERIOD_S:
            self._speed -= decel * PERIOD_S
            self._send(kind, sign * self._speed)
            time.sleep(PERIOD_S)
        self._stand()

    def _stand(self) -> None:
        self.zero()
        if self.odometry.number:
            self._still(self._pose, self.robot.base.stop)

    def _still(self, look: Callable[[], Sequence[float]], again: Callable[[], Any] = bool) -> None:
        end_s, last, still = time.monotonic() + STANDS_S, look(), 0
        while still < 3 and time.monotonic() < end_s:
            again()
            time.sleep(PERIOD_S)
            now = look()
            still, last = (still + 1 if max(abs(a - b) for a, b in zip(now, last)) < 1e-3 else 0), now

    def _pose(self) -> List[float]:
        return [float(value) for value in self.robot.base.get_state("odom")]

    def _watch(self) -> None:
        while not self._closed.wait(0.01):
            self.odometry.update()
            self.picture.update()
            if time.monotonic() < self._zero_until_s:
                self.robot.base.stop()


def _number(request: Message, name: str) -> float:
    value = float(request[name])
    if not math.isfinite(value) or (value <= 0.0 and name in ("speed", "decel", "limit_s")):
        raise ValueError(f"{name}: got {value}, expected a finite number that makes sense")
    return value


def _nearer(here: float, goal: float, step: float) -> float:
    return goal if abs(goal - here) <= step else here + math.copysign(step, goal - here)


class Server:
    """Serves one client at a time."""

    def __init__(self, machine: Machine, host: str, port: int) -> None:
        self.machine = machine
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, port))
        self._listener.listen(4)
        self._listener.settimeout(0.2)
        self._taken, self._ended = threading.Lock(), threading.Event()
        self.address = "{}:{}".format(*self._listener.getsockname())

    def run(self) -> None:
        """Serves until `end`."""
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except socket.timeout:
                continue
            threading.Thread(target=self._greet, args=(connection,), daemon=True).start()
        self._listener.close()
        self.machine.close()

    def end(self, *_: Any) -> None:
        """Lets `run` return; also a signal handler."""
        self.machine.stop("lost: the server ends")
        self._ended.set()

    def _greet(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(4 * SILENCE_S)
        try:
            header, _ = read_message(connection)
            problem = {}  # type: Message
            if header.get("op") != "hello" or header.get("version") != VERSION:
                got = f"got {header.get('op')!r} of version {header.get('version')!r}, expected hello of {VERSION}"
                problem = {"code": "version", "message": got}
            elif not self._taken.acquire(False):
                problem = {"code": "busy", "message": "another client drives this robot"}
            if problem:
                write_message(connection, {"id": header.get("id"), "error": problem})
                return
            try:
                Client(connection, self.machine).serve(header)
            finally:
                self._taken.release()
        except (OSError, EOFError, ValueError):
            pass  # the client is gone, or spoke another protocol
        finally:
            connection.close()


class Client:
    """Serves one client. When it is silent or gone, the base is stopped."""

    def __init__(self, connection: socket.socket, machine: Machine) -> None:
        self._connection, self._machine, self._writing = connection, machine, threading.Lock()
        self._motion, self._heard_s, self._gone = None, 0.0, threading.Event()  # type: Any, float, threading.Event

    def serve(self, header: Message) -> None:
        """Answers `header`, a hello, and what comes after, until the client leaves."""
        self._heard_s = time.monotonic()
        self._reply(header, {"version": VERSION, "robot": "locobot", "pid": os.getpid()})
        threading.Thread(target=self._watchdog, name="watchdog", daemon=True).start()
        try:
            while header["op"] != "bye":
                header, _ = read_message(self._connection)  # socket.timeout, an OSError, when the client is silent
                self._heard_s = time.monotonic()
                self._answer(header)
        finally:
            self._gone.set()
            self._machine.stop("lost: the client is gone")
            while self._motion is not None:  # its thread clears it
                time.sleep(0.02)

    def _watchdog(self) -> None:
        while not self._gone.wait(0.02):
            if time.monotonic() - self._heard_s > SILENCE_S:
                self._machine.stop(f"lost: the client was silent for {SILENCE_S} s")

    def _answer(self, header: Message) -> None:
        op = header.get("op")
        if op in ("drive", "turn", "look"):
            self._begin(header)
        elif op == "picture":
            threading.Thread(target=self._send_picture, args=(header,), daemon=True).start()
        elif op in ("beat", "stop", "bye"):
            if op == "stop":
                self._machine.stop("stopped")
            self._reply(header, self._machine.state())
        else:
            self._refuse(header, "protocol", f"op: got {op!r}, expected beat, picture, drive, turn, look, stop or bye")

    def _begin(self, header: Message) -> None:
        if self._motion is not None:
            return self._refuse(header, "busy", "a motion is under way")
        self._machine.why = ""
        self._machine.halt.clear()  # here, in the order of the requests: a stop that comes next is not lost
        self._motion = threading.Thread(target=self._move, args=(header,), daemon=True)
        self._motion.start()

    def _move(self, header: Message) -> None:
        machine, op = self._machine, header["op"]
        try:
            ended = machine.look(header) if op == "look" else machine.drive(op, header)
            answer = dict(machine.state(), ended=ended)
        except Exception as error:  # on any error of a request or of PyRobot the base is stopped
            machine.zero()
            answer = {"error": {"code": "request", "message": f"{type(error).__name__}: {error}"}}
        self._motion = None  # before the answer is sent: the next request may come at once
        self._reply(header, answer)

    def _send_picture(self, header: Message) -> None:
        """The first image with a number above `after`; an error when there is none for `FROZEN_S`."""
        watched, camera, end_s = self._machine.picture, self._machine.robot.camera, time.monotonic() + FROZEN_S
        waits = watched.number <= int(header.get("after", 0))
        while watched.number <= int(header.get("after", 0)) and time.monotonic() < end_s:
            time.sleep(0.005)
        if watched.age_s > FROZEN_S:
            return self._refuse(header, "camera frozen", f"no new image for {watched.age_s:.1f} s")
        image, focal_px = camera.get_rgb(), float(camera.get_intrinsics()[1][1])
        values = dict(self._machine.state(), number=watched.number, waited=waits, focal_px=focal_px)
        values.update(height=image.shape[0], width=image.shape[1])
        self._reply(header, values, image.tobytes())

    def _refuse(self, header: Message, code: str, message: str) -> None:
        self._reply(header, {"error": {"code": code, "message": message}})

    def _reply(self, header: Message, values: Message, body: bytes = b"") -> None:
        with self._writing:
            try:
                write_message(self._connection, dict(values, id=header.get("id")), body)
            except OSError:
                self._connection.close()  # half a message may be out: the reader ends too


def serve(robot: Any, host: str, port: int, ready: Callable[[str], None]) -> int:
    """Serves `robot` until SIGTERM, SIGINT or SIGHUP (its ssh session is gone); the base is at rest afterwards."""
    server, hangup = Server(Machine(robot), host, port), signal.getsignal(signal.SIGHUP) != signal.SIG_IGN  # or nohup
    for number in [signal.SIGTERM, signal.SIGINT] + [signal.SIGHUP] * hangup:  # after PyRobot, whose rospy sets its own
        signal.signal(number, server.end)
    ready(server.address)
    server.run()
    return 0


def main(argv: Optional[List[str]] = None) -> int:
    """Entry point: runs beside PyRobot."""
    parser = argparse.ArgumentParser(description="Moves a PyRobot LoCoBot for one client over a socket.")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for every network")
    parser.add_argument("--port", type=int, default=7077)
    parser.add_argument("--robot", default="locobot", help="PyRobot's name: locobot or locobot_lite")
    arguments = parser.parse_args(argv)
    try:
        import pyrobot  # type: ignore[import-not-found]
    except ImportError as error:
        sys.exit(f"pyrobot cannot be imported ({error}): activate its environment; see docs/pyrobot_protocol.md")
    robot = pyrobot.Robot(arguments.robot, use_arm=False, use_gripper=False)
    return serve(robot, arguments.host, arguments.port, lambda address: print(f"ready {address}", flush=True))


if __name__ == "__main__":
    sys.exit(main())
