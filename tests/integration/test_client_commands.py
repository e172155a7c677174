"""How the client sends every command: its subject, its `first` mark, its retries."""

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
from tests.integration.stand_in import BOOKED, NO_RESPONDERS, Replies, answering
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
async def test_command_goes_to_its_subject(
    servers: Servers, subject: str, ask: Ask, expected: dict[str, Any]
) -> None:
    """A command is sent with its wire fields to its subject, and its answer is passed on unchanged."""
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
    """Return the `first` mark of every attempt."""
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
async def test_attempts_are_first_until_one_was_not_answered(
    servers: Servers, subject: str, ask: Ask
) -> None:
    """Attempts carry `first` until one is lost; attempts that were not executed do not change that."""
    assert await _marks(servers, subject, ask, [BOOKED]) == [True]
    assert await _marks(servers, subject, ask, [None, BOOKED]) == [True, False]
    assert await _marks(servers, subject, ask, [NO_RESPONDERS, NO_PRIMARY, BOOKED]) == [True, True, True]


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
async def test_command_with_the_callers_own_key_is_never_first(
    servers: Servers, subject: str, ask: Ask
) -> None:
    """With a key, move id or token of its own, only the caller knows about earlier attempts."""
    assert await _marks(servers, subject, ask, [BOOKED]) == [False]


async def test_404_on_a_retried_release_is_success(servers: Servers) -> None:
    """After a lost attempt, a release counts as released if its retry finds no hold."""
    release = ReleaseHold.model_validate({"slot": LATER, "holdToken": str(uuid4())})
    async with answering(servers, RELEASE.subject, [None, NO_HOLD]) as client:
        reply = await client.send(RELEASE, release)
    assert (reply.status, reply.json) == (200, '{"message":"Hold released"}')
    turns: list[Replies] = [[NO_HOLD], [NO_RESPONDERS, NO_HOLD]]
    for replies in turns:
        async with answering(servers, RELEASE.subject, replies) as client:
            with pytest.raises(NoSuchHold):
                await client.send(RELEASE, release)


async def test_all_attempts_of_a_move_carry_the_generated_id(servers: Servers) -> None:
    """The client generates a missing move id once, so that a worker recognizes a move it carried out."""
    met: list[dict[str, Any]] = []
    async with answering(servers, MOVE.many_subject, [None] * 3, met) as client:
        with pytest.raises(OutcomeUnknown):
            await _move()(client)
    ids = [item["command"]["moveId"] for item in met]
    assert len(ids) == 3
    assert len(set(ids)) == 1


@pytest.mark.parametrize(("subject", "ask", "sent"), SENT, ids=[subject for subject, *_ in SENT])
async def test_unanswered_read_mentions_no_key(
    servers: Servers, subject: str, ask: Ask, sent: dict[str, Any]
) -> None:
    """The sentence of an unknown read advises to ask again; that of a change, to retry with its key."""
    async with answering(servers, subject, [None] * 3) as client:
        with pytest.raises(OutcomeUnknown) as caught:
            await ask(client)
    reads = subject in {operation.subject for operation in OPERATIONS if operation.reads}
    assert caught.value.text == (OutcomeUnknown.of_a_read if reads else OutcomeUnknown.message)
    assert ("key" in caught.value.text) != reads
