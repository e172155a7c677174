"""The description of an operation: one kind of command with everything that belongs to it."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from .caller import Scope
from .commands import Command, CommandT
from .errors import Refused

BodyT = TypeVar("BodyT", bound=BaseModel)
BOOKING_GROUP, HOLD_GROUP = "booking_worker", "hold_worker"
"""Queue groups: one worker of the group receives each command."""


@dataclass(frozen=True)
class Call:
    """The HTTP call of an operation.

    `body`: the model of the request's body; without it, all fields are in the path and the query.
    `key`: whether the header `Idempotency-Key` carries the operation's key. A command with `ifVersion` takes
    the header `If-Match`.
    `answers`: the headers of its 2xx, besides the headers of all answers.
    `scope`: the scope that a key needs; None: any key may make the call. `field_scopes`: the scopes that a
    key needs besides, if the command has these fields.
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
    scope: Scope | None = None
    field_scopes: tuple[tuple[str, Scope], ...] = ()

    def scopes_of(self, command: Command) -> list[Scope]:
        """Return the scopes that a command needs: `scope`, and those of its fields."""
        needed = [self.scope] if self.scope is not None else []
        for field, scope in self.field_scopes:
            if getattr(command, field) is not None:
                needed.append(scope)
        return needed


@dataclass(frozen=True, eq=False, kw_only=True)
class Operation(Generic[CommandT, BodyT]):
    """One kind of command. Its models are the types of `example` and `answer`, which the documents show.

    `subject`: its NATS subject. One worker of the queue group `group` answers; without a group, all workers.
    `key`: the field that makes a retry safe. The client fills it in if the caller did not.
    `batched`: batches of its commands are accepted on `many_subject`.
    `reads`: it changes nothing. `page`: its answer may be large.
    `refusals`: its own refusals, besides those that any command may get (`operations.ANY`).
    `done_before`: the refusal of a retry that shows that an earlier attempt was executed.
    `http`: its HTTP call, if it has one.
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
        """The subject of its batches, if it is `batched`."""
        return f"{self.subject}_many"
