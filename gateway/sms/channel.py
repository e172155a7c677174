"""Answer the texts of phones: one at a time for each phone, each of them once."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from nats.js import JetStreamContext
from starlette.datastructures import State as AppState

from gateway.sms.calendar import Calendar
from gateway.sms.conversation import before, follow, start
from gateway.sms.lines import Line
from gateway.sms.numbers import NumberDigests
from gateway.sms.opt_outs import OptOuts
from gateway.sms.sites import Sites
from gateway.sms.steps import Facts, State
from gateway.sms.store import Changed, Record, RecordStore
from gateway.sms.words import read_carrier_word
from shared.client.command_client import CommandClient
from shared.contract.caller import Caller, Share
from shared.contract.errors import NotExecuted, Refused

CALLER = "sms"
ANSWER_SECONDS = 8.0
"""A provider waits 10 s to 15 s for an answer."""
LOOK_SECONDS = 0.1
GIVE_BACK_SECONDS = 1.0
SHARE_DIGITS = 32

log = structlog.get_logger()


@dataclass(frozen=True)
class IncomingText:
    """A text of a phone.

    `line`: our number. `number`: the phone's, in E.164. `id`: of the text; the same text gets the same reply.
    `request_id`: of the request, for logs.
    """

    line: Line
    number: str
    id: str
    body: str
    request_id: str


class Texter:
    """A phone as the requester of commands. It has a share of its own in what the site may hold and book."""

    def __init__(self, request_id: str, caller: Caller) -> None:
        self.request_id = request_id
        self.caller = caller.model_dump_json(exclude_defaults=True).encode()

    async def has_left(self) -> bool:
        return False


class SmsChannel:
    """The conversations with all phones.

    Args:
        lines: our numbers.
        digests: of numbers.
        replicas: in a cluster, how many servers have a copy of what is remembered.
        holds, bookings: the most cells that one phone may hold, and book in 24 hours.
    """

    def __init__(
        self, lines: dict[str, Line], digests: NumberDigests, *, replicas: int, holds: int, bookings: int
    ) -> None:
        self.lines = lines
        self.app_state: AppState | None = None
        """Has the `client` once the gateway has started."""
        self._digests = digests
        self._replicas, self._holds, self._bookings = replicas, holds, bookings
        self._sites = Sites()

    async def answer(self, text: IncomingText) -> str:
        """Return the reply to a text; "" for none.

        Raises:
            Refused: whether the phone wants messages could not be stored.
        """
        word = read_carrier_word(text.body)
        if word == "stop":
            await self._opt_outs().add(text.number)
            return ""  # the carrier confirms it, and delivers nothing to the phone any more
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if word == "start":
                    await self._opt_outs().remove(text.number)
                elif await self._opt_outs().has(text.number):
                    return ""
                return await self._converse(text)
        except (Refused, TimeoutError) as error:
            log.warning("sms_unanswered", reason=type(error).__name__, request_id=text.request_id)
            return text.line.phrases.retry

    async def _converse(self, text: IncomingText) -> str:
        """Claim the conversation, go through its steps, and store the reply with the new state.

        A gateway that dies leaves the state as it was before the text, or before its booking was sent. The
        commands of the same text, sent again, then have the same keys.
        """
        store = RecordStore(self._jetstream, self._replicas)
        key = self._digests.of(f"{text.number}\n{text.line.number}")
        claim = await _claim(store, key, text.id)
        if isinstance(claim, str):
            return claim
        record, revision = claim
        asked = record

        async def save(state: State) -> None:
            nonlocal record, revision
            record = record.model_copy(update={"state": state})
            try:
                revision = await store.write(key, record.claimed(_now()), revision)
            except Changed:  # another gateway has gone on
                raise NotExecuted from None

        try:
            state, reply = await self._run(record.state, text, save)
        except BaseException as error:
            if isinstance(error, NotExecuted):  # nothing was sent, so nothing is unsure
                record = asked
            with suppress(Changed, Refused, TimeoutError):
                async with asyncio.timeout(GIVE_BACK_SECONDS):
                    await store.write(key, record.unclaimed(), revision)
            raise
        try:
            await store.write(key, record.after(state, text.id, reply), revision)
        except Changed:  # it took longer than its lease, and another gateway has answered
            return (await store.read(key))[0].reply_to(text.id) or reply
        return reply

    async def _run(
        self, state: State, text: IncomingText, save: Callable[[State], Awaitable[None]]
    ) -> tuple[State, str]:
        line, client = text.line, self._client
        share = Share(
            id=f"p:{self._digests.of(text.number)[:SHARE_DIGITS]}", holds=self._holds, bookings=self._bookings
        )
        caller = Caller(id=CALLER, sites=frozenset({line.site}), shares=(share,))
        texter = Texter(text.request_id, caller)
        site = await self._sites.of(line, client, texter)
        calendar = Calendar(client, texter, line=line, site=site, number=text.number, digests=self._digests)

        def facts() -> Facts:
            return Facts(
                now=_now(),
                message=text.id,
                phrases=line.phrases,
                zone=site.zone,
                service=site.service,
                services=site.services,
                titles=site.titles,
                cut_offs=site.cut_offs,
            )

        step = start(state, text.body, facts())
        while step.command is not None:
            if (ahead := before(step)) is not None:
                await save(ahead)
            step = follow(step.state, await calendar.carry_out(step.command), facts())
        return step.state, step.reply

    def _opt_outs(self) -> OptOuts:
        return OptOuts(self._jetstream, self._digests, self._replicas)

    @property
    def _client(self) -> CommandClient:
        assert self.app_state is not None  # noqa: S101 - set by `register`
        client: CommandClient = self.app_state.client
        return client

    @property
    def _jetstream(self) -> JetStreamContext:
        """JetStream.

        Raises:
            NotExecuted: NATS is not connected.
        """
        connection = self._client.connection
        if not connection.is_connected:
            raise NotExecuted
        return connection.jetstream()


async def _claim(store: RecordStore, key: str, message: str) -> tuple[Record, int] | str:
    """Wait for the texts before; return the record with its new revision, or the reply if there is one."""
    while True:
        record, revision = await store.read(key)
        if (reply := record.reply_to(message)) is not None:
            return reply
        now = _now()
        if record.busy_until is None or record.busy_until <= now:
            try:
                return record, await store.write(key, record.claimed(now), revision)
            except Changed:
                continue
        await asyncio.sleep(LOOK_SECONDS)


def _now() -> datetime:
    """Return the current time in whole milliseconds, as instants are sent."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
