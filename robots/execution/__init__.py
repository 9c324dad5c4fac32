"""The executor and its parts: leases, freshness, interlocks and the watchdog that stops the robot."""
