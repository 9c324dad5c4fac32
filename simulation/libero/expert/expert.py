"""The expert: does one literal of the goal after the other, each as it went best when tried in the simulator."""

from __future__ import annotations

from collections.abc import Iterator

from simulation.libero.expert.articulation import movements
from simulation.libero.expert.carrying import Destination, carry
from simulation.libero.expert.grasp import grasps
from simulation.libero.expert.waypoint import Course, Waypoint
from simulation.libero.predicates import holds
from simulation.libero.world import Floats, LiberoWorld

ORDER = ("open", "turnon", "on", "in", "turnoff", "close")
"""Of the literals: a drawer is closed after something was put in."""

ATTEMPTS = 4
"""Plans for one literal before the expert gives up."""

TRIED_ACTIONS = 400
"""Of one plan in the simulator, at most."""

Literal = tuple[str, ...]


class LiberoExpert:
    """Chooses actions for one world; what worked last is tried first, also in later episodes.

    Attributes:
        tries: plans tried in the simulator so far.
    """

    def __init__(self, world: LiberoWorld) -> None:
        self.world, self.tries = world, 0
        self._works: dict[Literal, str] = {}
        self.reset()

    def reset(self) -> None:
        """Begins an episode: the world was put into another state."""
        self._course: Course | None = None
        self._attempts: dict[Literal, int] = {}

    def action(self) -> Floats | None:
        """The action (7,) to take now; None when it knows nothing more to do."""
        while True:
            if self._course is None:
                self._course = self._plan()
            if self._course is None:
                return None
            action = self._course.action(self.world)
            if action is not None:
                return action
            self._course = None

    def _plan(self) -> Course | None:
        literal = self._next()
        if literal is None:
            return None
        self._attempts[literal] = self._attempts.get(literal, 0) + 1
        if self._attempts[literal] > ATTEMPTS:
            return None
        plans = dict(_plans(self.world, literal))
        known = self._works.get(literal, "")
        for key in sorted(plans, key=lambda key: key != known):
            if self._succeeds(Course(plans[key]), literal):
                self._works[literal] = key
                return Course(plans[key])
        return None

    def _next(self) -> Literal | None:
        """The next literal to be done: a drawer must be open before something is put in."""
        scene, data = self.world.scene, self.world.data
        due = sorted(
            (one for one in scene.goals if not holds(scene, data, one)), key=lambda literal: ORDER.index(literal[0])
        )
        if not due:
            return None
        word, *names = due[0]
        if word == "in" and names[1] in scene.sites:
            site = scene.sites[names[1]]
            opened = ("open", names[1])
            if site.joints and "open" in scene.ranges.get(site.parent, {}) and not holds(scene, data, opened):
                return opened
        return due[0]

    def _succeeds(self, course: Course, literal: Literal) -> bool:
        """Whether a course leads to the literal, or at once to the whole goal; the world is as before afterwards."""
        world, begin = self.world, self.world.save()
        self.tries += 1
        try:
            for _ in range(TRIED_ACTIONS):
                action = course.action(world)
                if action is None:
                    return holds(world.scene, world.data, literal)
                world.step(action)
                if world.is_success():
                    return True
            return False
        finally:
            world.restore(begin)


def _plans(world: LiberoWorld, literal: Literal) -> Iterator[tuple[str, list[Waypoint]]]:
    """Plans for a literal with their keys, the likelier first."""
    if literal[0] not in ("on", "in"):
        yield from movements(world, literal)
        return
    slide = literal[2] in world.scene.sites and not world.scene.sites[literal[2]].parent
    for grasp in grasps(world, literal[1]):
        for along in (0.0,):
            to = Destination(literal, (along, 0.0), slide)
            yield f"{grasp.key} {along}", carry(world, grasp, to)
