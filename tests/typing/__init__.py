"""What type checkers see of the public names: read by mypy (`make check`), and run by nobody."""
