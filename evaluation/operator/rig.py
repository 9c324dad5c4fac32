"""The robot as the operator's page uses it: set up, run, stopped. Knows no arms, no HTTP, no ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, TypeVar

from evaluation.step import RunEnd
from robots.embodiment import Embodiment
from robots.spec import U8Image

SomeRig = TypeVar("SomeRig", bound="Rig")


@dataclass(frozen=True)
class Setting:
    """A trial as the robot may know it: everything but its arm.

    Attributes:
        trial: number in the plan.
        block: trials of a block have the same place and seed.
        place: number of the start in the plan.
        start: its name.
        instruction: the robot's.
        seed: of a policy that draws its actions; the same in a block.
    """

    trial: int
    block: int
    place: int
    start: str
    instruction: str
    seed: int = 0


@dataclass(frozen=True)
class Served:
    """Address and bearer token of the policy server that all arms are behind."""

    url: str
    token: str = ""


@dataclass(frozen=True)
class Halt:
    """The emergency stop, as it stands.

    Attributes:
        pressed: it was pressed, here or elsewhere, and was not cleared.
        confirmed: whoever holds the robot back has confirmed it.
        why: reason; empty when it is not pressed.
        fault: why a stop from here would not reach the robot; empty when it would.
    """

    pressed: bool = False
    confirmed: bool = False
    why: str = ""
    fault: str = ""


class Rig(Protocol):
    """A robot, or a twin. Context manager: connects, and stops and disconnects. Any thread may call its methods.

    Attributes:
        name: in messages, e.g. "twin".
        cameras: names of the cameras that it can show.
    """

    name: str
    cameras: tuple[str, ...]

    @property
    def embodiment(self) -> Embodiment:
        """The robot's embodiment."""

    @property
    def halt(self) -> Halt:
        """The emergency stop; never blocks."""

    @property
    def record(self) -> str:
        """File or folder with the recording of the last trial; empty without one."""

    def use(self, served: Served) -> None:
        """Called once: tells the robot where its policy is.

        Raises:
            RobotError: it cannot use it.
        """

    def prepare(self, setting: Setting) -> None:
        """Called before each attempt: a twin goes to the start; a real robot is placed by a person.

        Raises:
            RobotError: it cannot be set up.
        """

    def run(self, setting: Setting) -> RunEnd:
        """Runs a trial with the policy that is served; returns when the robot stands. One at a time.

        Raises:
            RobotError: the trial could not begin.
        """

    def end(self, why: str) -> None:
        """Ends a running trial in an ordinary way, e.g. at its time limit."""

    def stop(self, why: str) -> None:
        """Presses the emergency stop; returns at once, `halt` tells whether it was confirmed."""

    def clear(self) -> None:
        """Clears the emergency stop.

        Raises:
            RobotError: it stays on; the message says why.
        """

    def image(self, camera: str) -> U8Image | None:
        """Returns the newest image of a camera, (H, W, 3) RGB; None without one."""

    def __enter__(self: SomeRig) -> SomeRig:
        """Connects."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops and disconnects."""


@dataclass(frozen=True)
class RigOptions:
    """Options of `ferry trials run` that concern the robot.

    Attributes:
        namespace: of the ROS graph; empty for the only one.
        house_seed: house of a twin at the plan's first start; further starts have the houses after it. None keeps the
            house in which a twin behind ROS is.
        places: number of starts of the plan.
    """

    namespace: str = ""
    house_seed: int | None = None
    places: int = 1


RigFactory = Callable[[RigOptions], Rig]
