"""The tasks: episode sampling, instructions and success predicates."""
