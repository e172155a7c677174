"""What FastStream does with each command: admit it, and have it answered in a task of its own.

FastStream calls a handler with one message at a time, and sends no reply where one raises. (Its
`max_workers` costs more than the whole handler, and a shutdown would lose what waits in its buffer.)
"""

from collections.abc import Mapping
from typing import Any

from faststream import BaseMiddleware, StreamMessage
from faststream.exceptions import IgnoredException
from nats.aio.msg import Msg

from shared.contract.errors import TOO_MANY, NotExecuted
from shared.contract.replies import refusal
from shared.worker.flow_control import FlowControl
from shared.worker.in_flight import Handler, InFlightCommands, send

REFUSAL = refusal(NotExecuted(TOO_MANY))


class CommandMiddleware(BaseMiddleware):
    """For `NatsBroker(middlewares=...)`; the subscribers must be declared with `no_reply=True`.

    `controls` are those of the subjects that have one.
    """

    def __init__(
        self,
        msg: Msg,
        /,
        *,
        context: Any,
        in_flight: InFlightCommands,
        controls: Mapping[str, FlowControl],
    ) -> None:
        super().__init__(msg, context=context)
        self._message = msg
        self._in_flight = in_flight
        self._controls = controls

    async def on_receive(self) -> None:
        """Turn a command away where there is no room for it; FastStream leaves it at that."""
        control = self._controls.get(self._message.subject)
        if control is not None and not control.admit():
            await send(self._message, REFUSAL)
            raise IgnoredException

    async def consume_scope(self, call_next: Handler, msg: StreamMessage[Msg]) -> None:
        """Begin to answer a command, and be ready for the next."""
        await self._in_flight.start(call_next, msg)
