"""Define the error that stops the stack with a one-line message."""


class StackError(Exception):
    """The stack or one of its processes cannot start. The message is one line for a person."""
