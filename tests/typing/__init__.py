"""Checks of the types of the public names, by mypy (`make check`); they never run."""
