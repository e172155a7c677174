"""What stops the stack, told in one line."""


class StackError(Exception):
    """The stack, or one of its processes, cannot start: the line that a person reads."""
