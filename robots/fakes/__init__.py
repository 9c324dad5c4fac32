"""Fakes of vendors' robots: processes that speak the vendor's own protocol, for machines without the robot."""
