"""`ferry doctor`: checks what this machine needs, and with `--robot` a robot's computer before a session.

`check` defines a check; `machine`, `clock`, `ros` and `devices` check this computer, `server` the policy server, and
`robot` the robot through its own driver; `main` runs them in order.
"""
