"""Each command as the client sends it: its subject, the mark of its first attempt, its repeats."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from shared.client.command_client import CommandClient
from shared.contract.commands import (
    AskGrid,
    BookAppointment,
    CancelAppointment,
    GetAppointment,
    GetHistory,
    ListAppointments,
    ListSlots,
    MoveAppointment,
    PlaceHold,
    ReleaseHold,
)
from shared.contract.envelope import Reply
from shared.contract.errors import NoSuchHold, OutcomeUnknown
from shared.contract.operations import (
    BOOK,
    CANCEL,
    GET,
    GRID,
    HISTORY,
    LIST,
    LIST_SLOTS,
    MOVE,
    OPERATIONS,
    PLACE,
    RELEASE,
)
from tests.integration.stand_in import BOOKED, NOBODY, Replies, answering
from tests.servers import Servers
from tests.slots import fresh

ID = "0b5f2a53-6f0e-4d1c-9a53-0c9f1f3a2c11"
TOKEN = "6f1c1a52-9d5e-4b7e-8a43-0c6b3a8c7d10"
DAY = {"from": "2031-05-04T00:00:00.000Z", "to": "2031-05-05T00:00:00.000Z"}
LATER = "2031-05-04T10:00:00.000Z"
NO_HOLD = b'{"status":404,"body":{"error":"No such hold"},"headers":{"Error-Type":"NoSuchHold"}}'
NO_PRIMARY = (
    b'{"status":503,"body":{"error":"?","outcome":"not_executed"},"headers":{"Error-Type":"NoPrimary"}}'
)

Ask = Callable[[CommandClient], Awaitable[Reply[Any]]]
WINDOW = {**DAY, "site": "default", "resource": "dr-lee"}
SENT: list[tuple[str, Ask, dict[str, Any]]] = [
    (CANCEL.many_subject, lambda client: client.send(CANCEL, CancelAppointment(id=ID)), {"id": ID}),
    (
        MOVE.many_subject,
        lambda client: client.send(
            MOVE, MoveAppointment.model_validate({"id": ID, "slot": LATER, "moveId": TOKEN})
        ),
        {"id": ID, "slot": LATER, "moveId": TOKEN},
    ),
    (GET.subject, lambda client: client.send(GET, GetAppointment(id=ID)), {"id": ID}),
    (HISTORY.subject, lambda client: client.send(HISTORY, GetHistory(id=ID)), {"id": ID}),
    (
        LIST.subject,
        lambda client: client.send(LIST, ListAppointments.model_validate(WINDOW)),
        {**WINDOW, "resource": [WINDOW["resource"]]},
    ),
    (
        LIST_SLOTS.subject,
        lambda client: client.send(LIST_SLOTS, ListSlots.model_validate({**WINDOW, "cursor": "abc"})),
        {**WINDOW, "resource": [WINDOW["resource"]], "cursor": "abc"},
    ),
    (GRID.subject, lambda client: client.send(GRID, AskGrid()), {}),
    (
        RELEASE.subject,
        lambda client: client.send(RELEASE, ReleaseHold.model_validate({"slot": LATER, "holdToken": TOKEN})),
        {"slot": LATER, "holdToken": TOKEN, "site": "default", "resources": ["default"]},
    ),
]


@pytest.mark.parametrize(("subject", "ask", "expected"), SENT, ids=[subject for subject, *_ in SENT])
async def test_each_command_goes_by_its_subject(
    servers: Servers, subject: str, ask: Ask, expected: dict[str, Any]
) -> None:
    """A command is sent with its fields as they are on the wire, and its answer is passed on as it came."""
    met: list[dict[str, Any]] = []
    async with answering(servers, subject, [b'{"status":200,"body":{"said":"so"}}'], met) as client:
        reply = await ask(client)
    assert (reply.status, reply.json) == (200, '{"said":"so"}')
    assert [item.get("command", item) for item in met] == [expected]


def _book(**more: str) -> Ask:
    return lambda client: client.send(BOOK, BookAppointment.model_validate(fresh(**more)))


def _move(**more: str) -> Ask:
    return lambda client: client.send(MOVE, MoveAppointment.model_validate({"id": ID, "slot": LATER, **more}))


def _hold(**more: str) -> Ask:
    return lambda client: client.send(PLACE, PlaceHold.model_validate(fresh(**more)))


async def _marks(servers: Servers, subject: str, ask: Ask, replies: Replies) -> list[bool]:
    """Which of the attempts were said to be the first."""
    met: list[dict[str, Any]] = []
    async with answering(servers, subject, replies, met) as client:
        await ask(client)
    assert not replies
    return [item.get("first", False) for item in met]


@pytest.mark.parametrize(
    ("subject", "ask"),
    [(BOOK.many_subject, _book()), (MOVE.many_subject, _move()), (PLACE.many_subject, _hold())],
    ids=["book", "move", "hold"],
)
async def test_the_first_attempt_of_a_new_command_says_so(servers: Servers, subject: str, ask: Ask) -> None:
    """An attempt is the first until one was not answered; those that certainly did nothing are none."""
    assert await _marks(servers, subject, ask, [BOOKED]) == [True]
    assert await _marks(servers, subject, ask, [None, BOOKED]) == [True, False]
    assert await _marks(servers, subject, ask, [NOBODY, NO_PRIMARY, BOOKED]) == [True, True, True]


@pytest.mark.parametrize(
    ("subject", "ask"),
    [
        (BOOK.many_subject, _book(idempotencyKey="web-1")),
        (MOVE.many_subject, _move(moveId=TOKEN)),
        (PLACE.many_subject, _hold(holdToken=TOKEN)),
        (CANCEL.many_subject, lambda client: client.send(CANCEL, CancelAppointment(id=ID))),
    ],
    ids=["book", "move", "hold", "cancel"],
)
async def test_what_a_caller_may_have_sent_before_is_never_the_first(
    servers: Servers, subject: str, ask: Ask
) -> None:
    """With a key, move id or token of the caller's own, only the caller knows what was sent before."""
    assert await _marks(servers, subject, ask, [BOOKED]) == [False]


async def test_a_release_that_was_lost_and_repeated_is_released(servers: Servers) -> None:
    """Where an attempt was not answered, the hold that its repeat does not find is the one it has ended."""
    release = ReleaseHold.model_validate({"slot": LATER, "holdToken": str(uuid4())})
    async with answering(servers, RELEASE.subject, [None, NO_HOLD]) as client:
        reply = await client.send(RELEASE, release)
    assert (reply.status, reply.json) == (200, '{"message":"Hold released"}')
    turns: list[Replies] = [[NO_HOLD], [NOBODY, NO_HOLD]]
    for replies in turns:
        async with answering(servers, RELEASE.subject, replies) as client:
            with pytest.raises(NoSuchHold):
                await client.send(RELEASE, release)


async def test_all_attempts_of_a_move_have_the_id_that_was_made(servers: Servers) -> None:
    """A move without an id gets one, the same at every attempt: what was carried out is known again."""
    met: list[dict[str, Any]] = []
    async with answering(servers, MOVE.many_subject, [None] * 3, met) as client:
        with pytest.raises(OutcomeUnknown):
            await _move()(client)
    ids = [item["command"]["moveId"] for item in met]
    assert len(ids) == 3
    assert len(set(ids)) == 1


@pytest.mark.parametrize(("subject", "ask", "sent"), SENT, ids=[subject for subject, *_ in SENT])
async def test_a_read_that_is_not_answered_speaks_of_no_key(
    servers: Servers, subject: str, ask: Ask, sent: dict[str, Any]
) -> None:
    """A read has no key and changes nothing: ask again. A change may be repeated with its key."""
    async with answering(servers, subject, [None] * 3) as client:
        with pytest.raises(OutcomeUnknown) as caught:
            await ask(client)
    reads = subject in {operation.subject for operation in OPERATIONS if operation.reads}
    assert caught.value.text == (OutcomeUnknown.of_a_read if reads else OutcomeUnknown.message)
    assert ("key" in caught.value.text) != reads
