"""What describes one operation: one kind of command with everything that belongs to it."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from .commands import Command, CommandT
from .errors import Refused

BodyT = TypeVar("BodyT", bound=BaseModel)


@dataclass(frozen=True)
class Call:
    """How an operation is called over HTTP.

    `body` is the model of the request's body; without it all is said in the path and the query. With `key`
    the header `Idempotency-Key` says the operation's key. A command that has `ifVersion` takes `If-Match`.
    `answers` are the headers of its 2xx, besides those of every answer.
    """

    name: str
    method: str
    path: str
    tag: str
    summary: str
    description: str
    body: type[Command] | None = None
    key: bool = False
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Operation(Generic[CommandT, BodyT]):
    """One kind of command. Its models are those of `example` and `answer`, which documents show.

    `subject`: where it is asked on NATS, and answered by one worker of `group`; without a group, by each.
    `key`: the field that makes its repeats safe; who sends a command fills it in if its caller did not.
    `batched`: its commands also travel many in one message, on `many_subject`.
    `reads`: it changes nothing. `page`: its answer may be large.
    `refusals`: those of its own; documents list what any command may meet by themselves.
    `done_before`: the refusal that, of a repeat, says that an earlier attempt has done it.
    `http`: how it is called over HTTP, if it can be.
    """

    subject: str
    group: str | None
    example: CommandT
    answer: BodyT
    status: int = 200
    key: str | None = None
    batched: bool = False
    reads: bool = False
    page: bool = False
    refusals: tuple[type[Refused], ...] = ()
    done_before: type[Refused] | None = None
    http: Call | None = None

    @property
    def command(self) -> type[CommandT]:
        return type(self.example)

    @property
    def reply(self) -> type[BodyT]:
        return type(self.answer)

    @property
    def many_subject(self) -> str:
        """Where many of its commands travel in one message, if it is `batched`."""
        return f"{self.subject}_many"
