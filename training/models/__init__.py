"""The SPOC transformer and its parts."""
