"""Many commands in one message: a way to travel. Each is read, judged and answered by itself.

`{"commands":[{"deadline":1764928800000,"askedAt":1764928795000,"requestId":"0f3a…","command":{…}}]}`
"""

import json
import re
from functools import cache
from typing import Annotated, Any, Generic

from pydantic import BeforeValidator, Field, PlainValidator, SkipValidation, WithJsonSchema

from .commands import Command, CommandT
from .errors import InvalidRequest
from .fields import invalid
from .parsing import LARGEST_REQUEST, NOT_JSON, read_body, validate

MOST_TOGETHER = 128
# Of at most 6 bytes a character, 8 fields so large have less than LARGEST_REQUEST.
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
    """A command, with what a message of its own would say in headers.

    `askedAt` is when its caller asked, the same in all attempts. `first` says that its sender has never sent
    it before: no key of it has to be looked for, and no earlier attempt can be carried out later.
    """

    command: CommandT
    deadline: UnixMilliseconds | None = None
    askedAt: UnixMilliseconds | None = None
    requestId: Annotated[Any, WithJsonSchema({"type": "string"})] = None
    first: Annotated[Any, WithJsonSchema({"type": "boolean"})] = None


class Many(Command, Generic[CommandT]):
    """A message of many; its commands are not validated with it."""

    commands: Annotated[
        list[OneOfMany[CommandT]],
        Field(min_length=1, max_length=MOST_TOGETHER),
        SkipValidation,
        BeforeValidator(_count),
    ]


_MANY = Many[Command]
"""Of any kind; made once, for to make a model takes a millisecond."""


@cache
def one_of_many(command: type[CommandT]) -> type[OneOfMany[CommandT]]:
    """The model of each command of a message of many of a kind."""
    return OneOfMany[command]  # type: ignore[valid-type]


@cache
def many_of(command: type[CommandT]) -> type[Many[CommandT]]:
    """The model of a message of many commands of a kind: `BookMany` for `BookAppointment`."""
    verb = next(iter(re.findall("[A-Z][a-z]+", command.__name__)))
    return type(f"{verb}Many", (Many[command],), {})  # type: ignore[valid-type]


def read_many(data: bytes) -> list[Any]:
    """The commands of a message, not read yet: what is wrong with one is no fault of the others.

    Raises:
        InvalidRequest: it is no message of many.
    """
    body = read_body(data)
    if type(body) is dict and body.keys() == {"commands"} and _are_commands(body["commands"]):
        return body["commands"]  # type: ignore[no-any-return]
    return validate(_MANY, body).commands


def is_too_large(command: Any) -> bool:
    """Whether the JSON of what was read from JSON has more bytes than a request may have.

    Raises:
        InvalidRequest: it is nested too deeply to tell.
    """
    if _is_small(command):
        return False
    try:
        text = json.dumps(command, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise InvalidRequest(NOT_JSON) from None
    return len(text.encode(errors="surrogatepass")) > LARGEST_REQUEST


def _is_small(command: Any) -> bool:
    """Whether it is an object of a few short fields, as nearly all are: it need not be measured."""
    return (
        isinstance(command, dict)
        and len(command) <= FEW
        and all(len(name) <= SHORT_NAME and _is_short(value) for name, value in command.items())
    )


def _is_short(value: Any) -> bool:
    if isinstance(value, list):
        texts = all(isinstance(each, str) for each in value)
        return len(value) <= FEW and texts and sum(map(len, value)) <= SHORT
    if isinstance(value, str):
        return len(value) <= SHORT
    return value is None or (isinstance(value, int | float) and -_LATEST_UNIX_MS < value < _LATEST_UNIX_MS)
