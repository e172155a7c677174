"""What a worker subscribes to, as its handlers declare it: for the document of the subjects."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, get_args, get_type_hints

from pydantic import BaseModel

from shared.contract.commands import Command
from shared.contract.many import Many


class Subscription(NamedTuple):
    """A subscriber: its subject, its queue group if it has one, and the function that is called."""

    subject: str
    group: str
    handler: Callable[..., Any]

    @property
    def takes(self) -> type[Command]:
        (command,) = (hint for name, hint in get_type_hints(self.handler).items() if name != "return")
        model: type[Command] = command
        return model

    @property
    def one(self) -> type[Command]:
        """The command, or what each of many is."""
        taken: Any = self.takes
        one: type[Command] = taken
        if issubclass(taken, Many):
            one = taken.one.model_fields["command"].annotation
        return one

    @property
    def answers(self) -> type[BaseModel] | None:
        """The body of its reply, if it answers one command by one reply."""
        body: type[BaseModel] | None
        (body,) = get_args(get_type_hints(self.handler)["return"]) or (None,)
        return body


class Subscribers(list[Subscription]):
    """Takes the place of a broker, and only notes who subscribes to what."""

    def subscriber(self, subject: str, *, queue: str = "", **_: object) -> Callable[..., Any]:
        def note(handler: Callable[..., Any]) -> Callable[..., Any]:
            self.append(Subscription(subject, queue, handler))
            return handler

        return note


def subscriptions_of(register: Callable[..., None]) -> Subscribers:
    """What a worker's `register` declares."""
    subscribers = Subscribers()
    register(subscribers, *[None] * (len(inspect.signature(register).parameters) - 1))
    return subscribers
