"""Notices with real servers: worker, relay, mail server, a stand-in of Twilio. Time is the test's."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import nats
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from gateway.notify.consumers import CONSUMER, Followers, for_ever
from gateway.notify.mail import Mail, SmtpServer
from gateway.notify.notifier import Channels, Notifier
from gateway.notify.per_site import PerSite
from gateway.notify.quiet import QuietHours
from gateway.notify.store import NoticeStore
from gateway.notify.twilio import Twilio
from gateway.sms.numbers import NumberDigests
from gateway.sms.opt_outs import OptOuts
from shared.client.command_client import CommandClient
from shared.contract.audit import STREAM as AUDIT
from shared.contract.events import STREAM as EVENTS
from tests.integration.life import Life
from tests.integration.mailbox import MailServer, mail_server
from tests.integration.receiver import WAIT_SECONDS, Receiver, receiver
from tests.servers import Servers
from tests.stack import Stack

SENDER, OUR_NUMBER = "desk@clinic.example", "+15550100000"
NEVER_QUIET = QuietHours.parse("00:00-00:00")


@dataclass
class Desk:
    """The servers, and a clock that runs `ahead` of the real time."""

    stack: Stack
    connection: Client
    client: CommandClient
    mail: MailServer
    twilio: Receiver
    ahead: timedelta = timedelta()
    published: int = 0
    audited: int = 0
    life: Life = field(init=False)

    def __post_init__(self) -> None:
        self.life = Life(self.connection)
        jetstream = self.connection.jetstream()
        self.store = NoticeStore(jetstream, 1)
        self.opt_outs = OptOuts(jetstream, NumberDigests("s" * 32))
        url = self.twilio.url.removesuffix("/hook")
        self.channels = Channels(
            sms=Twilio(url, "AC1", "token", PerSite(OUR_NUMBER, {})),
            mail=Mail(SmtpServer.parse(self.mail.url), SENDER, self.now),
            opt_outs=self.opt_outs,
            mail_from=SENDER,
            quiet=NEVER_QUIET,
            link_of=lambda booking: f"https://clinic.example/appointments/{booking}#ml_x",
        )

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def set_clock(self, at: datetime) -> None:
        self.ahead = at - datetime.now(UTC)

    def notifier(self, **more: Any) -> Notifier:
        """Return the sender of a process, with `more` channels."""
        return Notifier(self.client, self.store, replace(self.channels, **more), self.now)

    async def send(self, **more: Any) -> None:
        """Let everything that has happened become notices, and send those that are due."""
        await self.settled()
        self.ahead += timedelta(seconds=4)  # the time that the caller of a change has to become known
        await self.notifier(**more).send_due()

    async def settled(self) -> None:
        """Wait until the relay has published every change, and the followers have read it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not (await self._is_read(EVENTS) and await self._is_read(AUDIT)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _is_read(self, stream: str) -> bool:
        try:
            info = await self.connection.jetstream().consumer_info(stream, CONSUMER)
        except NotFoundError:
            return False
        state = (await self.connection.jetstream().stream_info(stream)).state
        if state.messages < (self.published if stream == EVENTS else self.audited):
            return False
        return not info.num_pending and not info.num_ack_pending

    async def book(
        self, contact: str | None, slot: datetime, *, caller: str = "", **more: Any
    ) -> dict[str, Any]:
        """Book, as the caller with an id if one is named, and return the appointment."""
        body = {"slot": slot.isoformat(), "patientName": "Zoe-canary", "durationMinutes": 30, **more}
        if contact is not None:
            body["contact"] = contact
        answer = await self.life.request("booking.v1.book", body, _as(caller))
        assert answer.status == 201, answer
        self.published += 1
        self.audited += bool(caller)
        booked: dict[str, Any] = answer.body["appointment"]
        return booked

    async def move(self, appointment: dict[str, Any], slot: datetime) -> None:
        answer = await self.life.move(appointment["id"], slot=slot.isoformat())
        assert answer.status == 200, answer
        self.published += 1

    async def cancel(self, appointment: dict[str, Any], *, caller: str = "") -> None:
        """Cancel, as the caller with an id if one is named."""
        answer = await self.life.request("booking.v1.cancel", {"id": appointment["id"]}, _as(caller))
        assert answer.status == 200, answer
        self.published += 1
        self.audited += bool(caller)

    def texts(self, number: str) -> list[str]:
        """Return the text messages to a number, those that were refused too."""
        forms = [parse_qs(each.body.decode()) for each in self.twilio.received]
        return [form["Body"][0] for form in forms if form["To"] == [number]]


def _as(caller: str) -> dict[str, str] | None:
    return {"Caller": json.dumps({"id": caller, "names": True})} if caller else None


@asynccontextmanager
async def following(desk: Desk) -> AsyncIterator[None]:
    """Run the followers of a process."""
    followers = Followers(desk.connection, desk.store, desk.now, lambda _at: None)
    works = (for_ever(followers.follow_events, "events"), for_ever(followers.follow_audit, "audit"))
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def desk_on(servers: Servers) -> AsyncIterator[Desk]:
    """Start a worker and a relay on a NATS of their own, and the receivers of messages."""
    with servers.new_stack() as stack:
        stack.start("booking_worker")
        stack.start("booking_worker.events")
        stack.wait_serving()
        connection = await nats.connect(stack.env["NATS_URL"])
        client = CommandClient(stack.env["NATS_URL"])
        try:
            await client.connect()
            async with mail_server() as mail, receiver(201) as twilio:
                desk = Desk(stack, connection, client, mail, twilio)
                await desk.store.began()  # earlier bookings are not confirmed
                async with following(desk):
                    yield desk
                assert desk.channels.sms is not None
                await desk.channels.sms.close()
        finally:
            await client.close()
            await connection.close()
