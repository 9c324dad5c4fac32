"""Checks of the policy server: availability, clock, binding to the robot, and latency."""

from __future__ import annotations

import statistics
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime

from ferry.doctor.check import CheckFailed, CheckWarning, Machine
from robots.embodiment import Embodiment
from robots.errors import BindError
from robots.observation import Observation
from robots.spec import DiscreteActions

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Without the proxies of environment variables: policy_node's connection ignores them too."""

CLOCK_SKEW_S = 2.0
"""Difference to the server's clock above which the logs of the two machines cannot be aligned. The server sends whole
seconds."""

DECISIONS = 10
"""Decisions that are timed; the first of a session includes its warm-up."""
PATIENCE_S = 10.0
"""Timeout of one of them: far beyond any control period, so that a slow decision is measured and not only reported."""


def check_server(machine: Machine) -> str:
    """Checks that the policy server answers and is ready, and that its clock agrees."""
    assert machine.server is not None
    fix = f"start it: ferry serve BUNDLE; is {machine.server} its address, and does the firewall allow it?"
    if "://" in machine.server and not machine.server.startswith("http"):
        return _check_foreign(machine.server, machine.token)
    address = machine.server.partition("?")[0].rstrip("/")  # without the name of a policy
    try:
        with _DIRECT.open(f"{address}/readyz", timeout=5.0) as reply:
            date = reply.headers.get("Date")
    except urllib.error.HTTPError as error:
        raise CheckFailed(f"{machine.server} answers with {error.code}", "wait until its bundle is loaded") from error
    except (OSError, ValueError) as error:
        raise CheckFailed(f"{machine.server} does not answer: {error}", fix) from error
    skew_s = abs(time.time() - parsedate_to_datetime(date).timestamp()) if date else 0.0
    if skew_s > CLOCK_SKEW_S:
        raise CheckFailed(f"clocks differ by {skew_s:.0f} s", "set both clocks: timedatectl set-ntp true")
    return f"{machine.server} is ready"


def _check_foreign(server: str, token: str | None) -> str:
    """Checks that somebody else's server answers, and that its contract can be read."""
    from policy_server.errors import PolicyError
    from policy_server.policies import open_policy

    try:
        with open_policy(server, token=token) as policy:
            return f"{server} answers: {policy.describe().name}"
    except PolicyError as error:
        raise CheckFailed(f"{type(error).__name__}: {error}", "see docs/wires.md, and the server's own log") from error


def check_binding(body: Embodiment, machine: Machine) -> str:
    """Checks that the served policy binds to the robot, as policy_node will when it is configured."""
    from policy_server.errors import PolicyError
    from policy_server.policies import open_policy
    from robots.binding import bind

    assert machine.server is not None
    try:
        with open_policy(machine.server, token=machine.token) as policy:
            info = policy.describe()
        binding = bind(info.spec, body)
    except BindError as error:
        fix = f"serve a bundle for {body.name}, or change the item that the message names"
        raise CheckFailed(f"{type(error).__name__}: {error}", fix) from error
    except PolicyError as error:
        raise CheckFailed(f"{type(error).__name__}: {error}", "see the server's output") from error
    views = ", ".join(f"{name} from {camera}" for name, (camera, _) in binding.views.items())
    has = f"{binding.mask.sum()} of {len(binding.mask)} actions" if binding.commands else "chunks of actions"
    return f"{info.name} drives {body.name}: {has}; {views or 'no cameras'}"


def check_latency(body: Embodiment, observation: Observation, machine: Machine) -> str:
    """Checks that decisions on current observations return within the policy's control period."""
    from policy_server.errors import PolicyError
    from policy_server.policies import open_policy

    assert machine.server is not None
    times_s = []
    try:
        with (
            open_policy(machine.server, token=machine.token, timeout_s=PATIENCE_S) as policy,
            policy.open(body, "find a mug") as session,
        ):
            spec = session.binding.policy
            period_s = spec.control_period_s
            if not isinstance(spec.actions, DiscreteActions):
                return "not measured: this policy returns chunks"
            for _ in range(DECISIONS):
                began_s = time.monotonic()
                session.act(observation)
                times_s.append(time.monotonic() - began_s)
    except (PolicyError, BindError) as error:
        raise CheckFailed(f"{type(error).__name__}: {error}", "see the server's output") from error
    median_s, longest_s = statistics.median(times_s), max(times_s)
    measured = f"median {median_s * 1e3:.0f} ms, longest {longest_s * 1e3:.0f} ms of {period_s * 1e3:.0f} ms"
    if median_s > period_s:
        fix = "use a faster server, a wired network, or a policy with a longer control period"
        raise CheckFailed(f"decisions come too late: {measured}", fix)
    if longest_s > period_s:
        raise CheckWarning(f"some decisions come too late: {measured}", "what else loads the server or the network?")
    return f"{DECISIONS} decisions: {measured}"
