"""`ferry doctor`: checks what this machine needs, and with `--robot` a robot's computer before a session.

`check` says what a check is, `machine`, `clock`, `ros` and `devices` check this computer, `server` the policy server,
`body` the robot through its own driver, and `main` puts them in order.
"""
