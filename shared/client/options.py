"""Turn the arguments of `BookingClient` into commands."""

from datetime import datetime
from typing import Any

from ..contract.commands import CommandT
from ..contract.parsing import validate

Names = list[str] | tuple[str, ...]
Time = str | datetime

# The fields of commands by the names of their options, if these differ.
_FIELDS = {
    "duration_minutes": "durationMinutes",
    "hold_token": "holdToken",
    "idempotency_key": "idempotencyKey",
    "if_version": "ifVersion",
    "move_id": "moveId",
}


def command_of(model: type[CommandT], given: CommandT | Time, name: str = "slot", **options: Any) -> CommandT:
    """Return `given` if it is a command, otherwise build the command.

    Args:
        model: the class of the command.
        given: the command, or the value of its option `name`.
        name: the option that `given` is.
        options: the other options.

    Raises:
        InvalidRequest: as `validated`.
        TypeError: `given` is a command, but there are options too; or an option has a field's name.
    """
    if not isinstance(given, model):
        return validated(model, **{name: given}, **options)
    if any(options.values()):
        raise TypeError(f"{model.__name__} takes no further options")
    return given


def validated(model: type[CommandT], **options: Any) -> CommandT:
    """Build a command from options.

    Raises:
        InvalidRequest: an option is wrong: one sentence names the field and never repeats its value.
        TypeError: an option has the name of its field, such as `holdToken`.
    """
    for name in options:
        if name in _FIELDS.values():
            raise TypeError(f"unexpected keyword argument {name!r}")
    return validate(model, {_FIELDS.get(name, name): value for name, value in options.items()})
