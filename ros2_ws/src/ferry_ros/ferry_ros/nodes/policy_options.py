"""Parameters of policy_node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PolicyNodeOptions:
    """Parameters of policy_node; those of a trial are read when it begins.

    Attributes:
        server_url: URL of the policy server.
        token: bearer token of the server; empty when it requires none.
        bundle_sha256: hash that the served bundle must have for a trial; empty takes any.
        body: name of the embodiment that the robot must have; empty takes any that the policy fits.
        control_period_s: maximum age of an observation at which a command may still start, and time limit of one
            decision [s]; 0 takes the policy's control period, which is also the maximum.
        server_timeout_s: during a trial the server is pinged at 10 Hz; after so long without a reply the trial ends,
            also during a motion [s]; 0 disables the ping.
        observe_timeout_s: longest wait for a new observation.
        motion_timeout_s: longest wait for the result of a command.
        instruction: instruction in words; empty takes that of the robot's episode.
        chunks: "join" asks for the next chunk while one runs and joins it on without a pause, "rest" lets each end at
            rest; empty takes the policy's own way.
        execute_rows: rows of a chunk that are executed before the next is asked for; 0 takes the policy's.
        chunk_latency_s: with joined chunks, the longest time from an observation to its chunk for which rows are played
            on [s]; 0 takes the policy's.
        sampling: greedy, sample, or uniform (the random baseline).
        seed: of the sampling.
        max_steps: decisions until a trial ends; 0 takes the policy's horizon.
        autostart: configure and activate without a lifecycle manager; retries until server and robot are available.
        startup_timeout_s: time limit of autostart [s].
        record: folder of the trials' records; empty for none.
        run_once: with autostart, run one trial and exit; the status is 1 when it failed or was not completed.
    """

    server_url: str = "http://127.0.0.1:8042"
    token: str = ""
    bundle_sha256: str = ""
    body: str = ""
    control_period_s: float = 0.0
    server_timeout_s: float = 0.3
    observe_timeout_s: float = 2.0
    motion_timeout_s: float = 10.0
    instruction: str = ""
    chunks: str = ""
    execute_rows: int = 0
    chunk_latency_s: float = 0.0
    sampling: str = "greedy"
    seed: int = 0
    max_steps: int = 0
    autostart: bool = False
    startup_timeout_s: float = 60.0
    record: str = ""
    run_once: bool = False
