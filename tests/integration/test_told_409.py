"""A caller who was told 409 is not booked or moved later, over HTTP and on real servers.

A member of the workers' queue group takes the first attempt of a request and never answers, as a worker does
that dies. Its caller asks again, over another connection, and the gateway's own repeat comes after that.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import nats
import pytest
from nats.aio.msg import Msg

from shared.contract.operations import BOOK, BOOKING_GROUP, MOVE
from shared.process.nats_wire import round_trip
from tests.integration.life import BOOKED
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack

TEN, ELEVEN = "2031-05-04T10:00:00.000Z", "2031-05-04T11:00:00.000Z"
BOOK_PATH = "/api/book-appointment"


class Swallower:
    """A member of the queue group: it passes on what it gets, but for the first message with `mark` in it."""

    def __init__(self) -> None:
        self.mark = b""
        self.swallowed = asyncio.Event()

    def wait_for(self, mark: str) -> None:
        self.mark = mark.encode()
        self.swallowed.clear()

    async def meet(self, message: Msg) -> None:
        if self.mark and self.mark in message.data and not self.swallowed.is_set():
            self.swallowed.set()
            return
        await message._client.publish(
            message.subject, message.data, reply=message.reply, headers=message.headers
        )


@asynccontextmanager
async def losing(servers: Servers, subject: str, without: str = "") -> AsyncIterator[tuple[Stack, Swallower]]:
    """A gateway and a worker, and a member of its group that loses what it is told to."""
    with servers.new_stack() as stack:
        stack.start_gateway()
        stack.start("booking_worker", without=without)
        stack.start("hold_worker")
        stack.wait_ready()
        swallower = Swallower()
        async with await nats.connect(stack.env["NATS_URL"]) as connection:
            await connection.subscribe(subject, queue=BOOKING_GROUP, cb=swallower.meet)
            await round_trip(connection)
            yield stack, swallower


async def lose(swallower: Swallower, mark: str, send: Any) -> "asyncio.Task[httpx.Response] | httpx.Response":
    """Send a request whose first attempt is lost; its answer, if a worker was faster."""
    swallower.wait_for(mark)
    asked = asyncio.create_task(send)
    lost = asyncio.create_task(swallower.swallowed.wait())
    await asyncio.wait({asked, lost}, return_when=asyncio.FIRST_COMPLETED)
    lost.cancel()
    return asked if swallower.swallowed.is_set() else await asked


async def book_lost_and_repeated(stack: Stack, swallower: Swallower) -> tuple[httpx.Response, bool]:
    """What the lost POST is answered at last, and whether its slot is free then."""
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
        body = fresh("Ada")
        grace = await client.post(BOOK_PATH, json={**body, "patientName": "Grace"})
        while True:
            key = {"Idempotency-Key": str(uuid4())}
            lost = await lose(
                swallower, key["Idempotency-Key"], client.post(BOOK_PATH, json=body, headers=key)
            )
            if isinstance(lost, asyncio.Task):
                break
            assert lost.json() == BOOKED
        again = await client.post(BOOK_PATH, json=body, headers=key)
        assert (again.status_code, again.json()) == (409, BOOKED)
        id = grace.json()["appointment"]["id"]
        assert (await client.delete(f"/api/appointments/{id}")).status_code == 200
        assert not lost.done()
        answer = await lost
        free = (await client.post(BOOK_PATH, json={**body, "patientName": "Alan"})).status_code == 201
        return answer, free


async def test_a_lost_booking_that_was_told_409_is_not_made_by_a_repeat(servers: Servers) -> None:
    """The gateway's own second attempt of the first POST finds that a later one was refused."""
    async with losing(servers, BOOK.many_subject) as (stack, swallower):
        answer, free = await book_lost_and_repeated(stack, swallower)
    assert (answer.status_code, answer.headers["error-type"]) == (503, "AskedEarlier")
    assert free


async def test_control_without_the_moment_of_asking_it_books(servers: Servers) -> None:
    """Control: a worker that does not read `askedAt` books for a caller who was told 409."""
    async with losing(servers, BOOK.many_subject, without="no_asked_at") as (stack, swallower):
        answer, free = await book_lost_and_repeated(stack, swallower)
    assert (answer.status_code, free) == (201, False)


async def moved_after_a_lost_move(
    stack: Stack, swallower: Swallower, *, refused: bool
) -> tuple[httpx.Response, str]:
    """What a lost PATCH to ten is answered at last, and where the booking lies then.

    Meanwhile its caller repeats it and is refused, or moves the booking to eleven.
    """
    async with httpx.AsyncClient(base_url=stack.url, timeout=20) as client:
        while True:
            body = fresh("Ada")
            url = f"/api/appointments/{(await client.post(BOOK_PATH, json=body)).json()['appointment']['id']}"
            key = {"Idempotency-Key": str(uuid4())}
            move = client.patch(url, json={"slot": TEN}, headers=key)
            lost = await lose(swallower, key["Idempotency-Key"], move)
            if isinstance(lost, asyncio.Task):
                break
        if refused:
            grace = await client.post(BOOK_PATH, json={**body, "slot": TEN, "patientName": "Grace"})
            again = await client.patch(url, json={"slot": TEN}, headers=key)
            assert (again.status_code, again.json()) == (409, BOOKED)
            await client.delete(f"/api/appointments/{grace.json()['appointment']['id']}")
        else:
            assert (await client.patch(url, json={"slot": ELEVEN})).status_code == 200
        assert not lost.done()
        answer = await lost
        return answer, (await client.get(url)).json()["appointment"]["slot"]


@pytest.mark.parametrize(("refused", "slot"), [(True, fresh()["slot"]), (False, ELEVEN)])
async def test_a_lost_move_is_not_made_after_a_later_one(servers: Servers, refused: bool, slot: str) -> None:
    """The gateway's repeat of a PATCH moves nothing once a later PATCH was refused or done."""
    async with losing(servers, MOVE.many_subject) as (stack, swallower):
        answer, lies = await moved_after_a_lost_move(stack, swallower, refused=refused)
    assert (answer.status_code, answer.headers["error-type"]) == (503, "AskedEarlier")
    assert lies.replace(".000", "") == slot.replace(".000", "")


async def test_control_without_the_moment_of_asking_it_moves(servers: Servers) -> None:
    """Control: a worker that does not read `askedAt` takes the booking back to ten."""
    async with losing(servers, MOVE.many_subject, without="no_asked_at") as (stack, swallower):
        answer, lies = await moved_after_a_lost_move(stack, swallower, refused=False)
    assert (answer.status_code, lies) == (200, TEN)


async def test_a_caller_who_has_left_is_not_booked_by_a_repeat(servers: Servers) -> None:
    """The gateway does not repeat a POST whose caller has closed its connection."""
    async with (
        losing(servers, BOOK.many_subject) as (stack, swallower),
        httpx.AsyncClient(base_url=stack.url, timeout=20) as client,
    ):
        while True:
            body = fresh("Ada")
            swallower.wait_for(body["site"])
            try:
                await client.post(BOOK_PATH, json=body, timeout=0.7)
            except httpx.ReadTimeout:
                break
        await asyncio.sleep(2.5)  # the second attempt would have come after 1.7 s
        assert (await client.post(BOOK_PATH, json={**body, "patientName": "Grace"})).status_code == 201
