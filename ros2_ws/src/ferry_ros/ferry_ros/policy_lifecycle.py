"""The policy node's lifecycle from another process: its state, and the way to active with other parameters."""

from __future__ import annotations

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node

from ferry_ros.rclpy_support import services
from robots.errors import RobotError

START_S = 60.0  # a graph that is being launched may take so long to be there
CALL_S = 10.0

ROUTES = {  # lifecycle transitions that lead from a state to "active" with new parameters
    "unconfigured": (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE),
    "inactive": (Transition.TRANSITION_CLEANUP, Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE),
    "active": (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ),
}


def state(node: Node) -> str:
    """Returns the state of the policy node in the namespace of `node`, e.g. "active"."""
    answer = services.ask(node, GetState, "policy_node/get_state", GetState.Request(), START_S)
    return str(answer.current_state.label)


def activate_with(node: Node, values: dict[str, object]) -> None:
    """Configures the policy node anew with some parameters, and activates it; RobotError if that fails."""
    before = state(node)
    if before not in ROUTES:
        raise RobotError(f"policy_node: got state {before}, expected one of {', '.join(ROUTES)}")
    services.set_parameters(node, "policy_node", values, CALL_S)
    for transition in ROUTES[before]:
        request = ChangeState.Request(transition=Transition(id=transition))
        if not services.ask(node, ChangeState, "policy_node/change_state", request, START_S).success:
            raise RobotError(f"policy_node did not get from {before} to active; see /diagnostics and its log")
