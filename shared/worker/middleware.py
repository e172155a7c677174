"""What FastStream does with each message: admit it, and have its commands answered in tasks of their own.

FastStream calls a handler with one message at a time, and sends no reply where one raises. (Its
`max_workers` costs more than the whole handler, and a shutdown would lose what waits in its buffer.)
"""

from collections.abc import Mapping
from typing import Any

from faststream import BaseMiddleware, StreamMessage
from faststream.exceptions import IgnoredException
from nats.aio.msg import Msg

from shared.contract import subjects
from shared.contract.envelope import refusal
from shared.contract.errors import Overloaded
from shared.worker.answering import Answering, Handler
from shared.worker.flow_control import FlowControl
from shared.worker.messages import send
from shared.worker.metrics import TURNED_AWAY

REFUSAL = refusal(Overloaded())


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
        answering: Answering,
        controls: Mapping[str, FlowControl],
    ) -> None:
        super().__init__(msg, context=context)
        self._message = msg
        self._answering = answering
        self._controls = controls

    async def on_receive(self) -> None:
        """Turn a message away where there is no room for it; FastStream leaves it at that."""
        control = self._controls.get(self._message.subject)
        if control is not None and not control.admit():
            TURNED_AWAY.labels(self._message.subject).inc()
            await send(self._message, REFUSAL)
            raise IgnoredException

    async def consume_scope(self, call_next: Handler, msg: StreamMessage[Msg]) -> None:
        """Begin to answer a message, and be ready for the next."""
        subject = self._message.subject
        if subject in subjects.MANY:
            self._controls[subject].count(await self._answering.start_many(call_next, msg))
        else:
            # Whether it is ready, it says beside all else: who asks often keeps no booking away.
            await self._answering.start(call_next, msg, counts=subject in self._controls)
