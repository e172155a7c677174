"""Call workers over NATS in batches: calls made while a message is in flight go into the next one."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client

from tests.callers import REPLY_SECONDS, Answer, Call, Caller, Kind, NatsCaller

SUBJECTS: dict[Kind, str] = {
    "book": "booking.v1.book_many",
    "cancel": "booking.v1.cancel_many",
    "move": "booking.v1.move_many",
    "hold": "hold.v1.place_many",
}
MOST = 128
LONGEST_WAIT_SECONDS = 0.1
"""Calls wait for an earlier message no longer than this, since it may get no answer."""
Waiting = tuple[dict[str, Any], "asyncio.Future[Answer]"]


@dataclass
class BatchCaller(Caller):
    """`Deadline`, `Asked-At` and `First` (never sent before) apply to single commands of a batch."""

    connection: Client
    prefix: str = ""
    name: str = "nats"
    _waiting: dict[Kind, list[Waiting]] = field(default_factory=dict, init=False)
    _in_flight: set["asyncio.Task[None]"] = field(default_factory=set, init=False)

    def build(self, kind: Kind, body: Any, headers: dict[str, str]) -> Call:
        if kind not in SUBJECTS:
            return NatsCaller(self.connection, prefix=self.prefix).build(kind, body, headers)
        key = {"idempotencyKey": headers["Idempotency-Key"]} if "Idempotency-Key" in headers else {}
        item: dict[str, Any] = {"command": {**body, **key}}
        if "Deadline" in headers:
            item["deadline"] = int(headers["Deadline"])
        if "Asked-At" in headers:
            item["askedAt"] = int(headers["Asked-At"])
        if "First" in headers:
            item["first"] = True
        return lambda: self._send(kind, item)

    async def _send(self, kind: Kind, item: dict[str, Any]) -> Answer:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(kind)
        if waiting is not None:
            waiting.append((item, answered))
        else:
            self._waiting[kind] = []
            self._start(kind, [(item, answered)])
        return await answered

    def _start(self, kind: Kind, batch: list[Waiting]) -> None:
        task = asyncio.create_task(self._send_batch(kind, batch))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _send_batch(self, kind: Kind, batch: list[Waiting]) -> None:
        asking = asyncio.create_task(self._ask_all(kind, batch))
        await asyncio.wait({asking}, timeout=LONGEST_WAIT_SECONDS)
        waiting = self._waiting[kind]
        if waiting:
            self._waiting[kind] = waiting[MOST:]
            self._start(kind, waiting[:MOST])
        else:
            del self._waiting[kind]
        await asking

    async def _ask_all(self, kind: Kind, batch: list[Waiting]) -> None:
        sending = [each for each in batch if not each[1].done()]  # drop callers that gave up
        try:
            if sending:
                await self._ask(kind, sending)
        except Exception as error:
            for _, answered in sending:
                if not answered.done():
                    answered.set_exception(error)

    async def _ask(self, kind: Kind, sending: list[Waiting]) -> None:
        payload = json.dumps({"commands": [item for item, _ in sending]}).encode()
        subject = self.prefix + SUBJECTS[kind]
        message = await self.connection.request(subject, payload, timeout=REPLY_SECONDS)
        reply = json.loads(message.data)
        if "replies" not in reply:
            lower = {name.lower(): value for name, value in (message.headers or {}).items()}
            answers = [Answer(reply["status"], reply["body"], lower)] * len(sending)
        else:
            assert len(reply["replies"]) == len(sending)
            answers = [_read(each) for each in reply["replies"]]
        for (_, answered), answer in zip(sending, answers, strict=True):
            if not answered.done():
                answered.set_result(answer)


def _read(reply: dict[str, Any]) -> Answer:
    assert set(reply) == {"status", "body", "headers"}
    lower = {name.lower(): value for name, value in reply["headers"].items()}
    return Answer(reply["status"], reply["body"], lower)
