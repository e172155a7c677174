"""Batches: many commands in one message. A batch is not a transaction: its commands are independent.

`{"commands":[{"deadline":1764928800000,"askedAt":1764928795000,"requestId":"0f3a…","command":{…}}]}`
"""

import json
import re
from functools import cache
from typing import Annotated, Any, Generic

from pydantic import BeforeValidator, Field, PlainValidator, SkipValidation, WithJsonSchema

from .caller import Caller, remember_caller
from .commands import Command, CommandT
from .errors import InvalidRequest
from .fields import invalid
from .parsing import LARGEST_REQUEST, NOT_JSON, read_body, validate

MOST_TOGETHER = 128
# 8 fields of this size, at up to 6 bytes a character, are smaller than LARGEST_REQUEST.
FEW, SHORT_NAME, SHORT = 8, 64, 256
_LATEST_UNIX_MS = 10**15


def _unix_milliseconds(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LATEST_UNIX_MS:
        return value
    raise invalid("must be a Unix time in milliseconds")


def _are_commands(commands: Any) -> bool:
    return isinstance(commands, list) and 1 <= len(commands) <= MOST_TOGETHER


def _count(commands: Any) -> Any:
    if _are_commands(commands):
        return commands
    raise invalid(f"must be a list of 1 to {MOST_TOGETHER} commands")


UnixMilliseconds = Annotated[
    int, PlainValidator(_unix_milliseconds), WithJsonSchema({"type": "integer", "minimum": 0})
]


class OneOfMany(Command, Generic[CommandT]):
    """A command of a batch, with the values that are headers of a single command.

    `askedAt`: when the caller asked, the same in all attempts. `first`: the sender never sent the command
    before, so the worker need not read its key, and no earlier attempt can be executed later. `caller`: its
    caller, sent by the gateway.
    """

    command: CommandT
    deadline: UnixMilliseconds | None = None
    askedAt: UnixMilliseconds | None = None
    requestId: Annotated[Any, WithJsonSchema({"type": "string"})] = None
    first: Annotated[Any, WithJsonSchema({"type": "boolean"})] = None
    caller: Annotated[Caller | None, BeforeValidator(remember_caller), WithJsonSchema({"type": "object"})] = (
        None
    )


class Many(Command, Generic[CommandT]):
    """A batch. Its commands are not validated with it, because an invalid one must not refuse the rest."""

    commands: Annotated[
        list[OneOfMany[CommandT]],
        Field(min_length=1, max_length=MOST_TOGETHER),
        SkipValidation,
        BeforeValidator(_count),
    ]


_MANY = Many[Command]
"""A batch of any kind of command; made once, because making a model takes a millisecond."""


@cache
def one_of_many(command: type[CommandT]) -> type[OneOfMany[CommandT]]:
    """Return the model of one command in a batch."""
    return OneOfMany[command]  # type: ignore[valid-type]


@cache
def many_of(command: type[CommandT]) -> type[Many[CommandT]]:
    """Return the model of a batch, for example `BookMany` for `BookAppointment`."""
    verb = next(iter(re.findall("[A-Z][a-z]+", command.__name__)))
    return type(f"{verb}Many", (Many[command],), {})  # type: ignore[valid-type]


def read_many(data: bytes) -> list[Any]:
    """Decode a batch, and return its commands before validation: an invalid one does not refuse the rest.

    Raises:
        InvalidRequest: the message is not a batch.
    """
    body = read_body(data)
    if type(body) is dict and body.keys() == {"commands"} and _are_commands(body["commands"]):
        return body["commands"]  # type: ignore[no-any-return]
    return validate(_MANY, body).commands


def is_too_large(command: Any) -> bool:
    """Return whether the JSON of a decoded command is larger than `LARGEST_REQUEST`.

    Raises:
        InvalidRequest: the command is nested too deeply to encode.
    """
    if _is_small(command):
        return False
    try:
        text = json.dumps(command, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise InvalidRequest(NOT_JSON) from None
    return len(text.encode(errors="surrogatepass")) > LARGEST_REQUEST


def _is_small(command: Any) -> bool:
    """Return whether a command is certainly small: few short fields, as almost always. Saves encoding it."""
    return (
        isinstance(command, dict)
        and len(command) <= FEW
        and all(len(name) <= SHORT_NAME and _is_short(value) for name, value in command.items())
    )


def _is_short(value: Any) -> bool:
    if isinstance(value, list):
        texts = all(isinstance(item, str) for item in value)
        return len(value) <= FEW and texts and sum(map(len, value)) <= SHORT
    if isinstance(value, str):
        return len(value) <= SHORT
    return value is None or (isinstance(value, int | float) and -_LATEST_UNIX_MS < value < _LATEST_UNIX_MS)
