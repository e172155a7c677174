"""A request that got 409 is not carried out by an earlier attempt, over HTTP and on real servers.

A member of the workers' queue group takes the first attempt of a request and never answers, like a worker
that dies. The caller retries over another connection, and after that the gateway retries the first request.
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

from shared.contract.operation import BOOKING_GROUP
from shared.contract.operations import BOOK, MOVE
from shared.process.nats_wire import round_trip
from tests.integration.life import BOOKED
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack

TEN, ELEVEN = "2031-05-04T10:00:00.000Z", "2031-05-04T11:00:00.000Z"
BOOK_PATH = "/api/book-appointment"


class Swallower:
    """A queue group member that passes messages on, except the first one that contains `mark`."""

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
    """Start a gateway and a worker, and a swallower in the worker's queue group."""
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
    """Send a request whose first attempt is lost; return its task, or the answer if a worker got it."""
    swallower.wait_for(mark)
    asked = asyncio.create_task(send)
    lost = asyncio.create_task(swallower.swallowed.wait())
    await asyncio.wait({asked, lost}, return_when=asyncio.FIRST_COMPLETED)
    lost.cancel()
    return asked if swallower.swallowed.is_set() else await asked


async def lose_and_retry_booking(stack: Stack, swallower: Swallower) -> tuple[httpx.Response, bool]:
    """Lose a POST, get 409 for its retry, free the slot; return the first answer and if the slot is free."""
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


async def test_a_booking_whose_retry_got_409_is_not_made_by_the_gateway(servers: Servers) -> None:
    """The gateway's second attempt of a lost POST gets AskedEarlier once a later POST got 409."""
    async with losing(servers, BOOK.many_subject) as (stack, swallower):
        answer, free = await lose_and_retry_booking(stack, swallower)
    assert (answer.status_code, answer.headers["error-type"]) == (503, "AskedEarlier")
    assert free


async def test_control_without_asked_at_the_late_attempt_books(servers: Servers) -> None:
    """Control: a worker that ignores `askedAt` books for a caller who got 409."""
    async with losing(servers, BOOK.many_subject, without="no_asked_at") as (stack, swallower):
        answer, free = await lose_and_retry_booking(stack, swallower)
    assert (answer.status_code, free) == (201, False)


async def lose_and_overtake_move(
    stack: Stack, swallower: Swallower, *, refused: bool
) -> tuple[httpx.Response, str]:
    """Lose a PATCH to ten o'clock; return its answer, and the slot of the booking then.

    Meanwhile the caller's retry is refused, or the caller moves the booking to eleven.
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
async def test_a_lost_move_is_not_carried_out_after_a_later_one(
    servers: Servers, refused: bool, slot: str
) -> None:
    """The gateway's retry of a lost PATCH moves nothing once a later PATCH was refused or carried out."""
    async with losing(servers, MOVE.many_subject) as (stack, swallower):
        answer, slot_after = await lose_and_overtake_move(stack, swallower, refused=refused)
    assert (answer.status_code, answer.headers["error-type"]) == (503, "AskedEarlier")
    assert slot_after.replace(".000", "") == slot.replace(".000", "")


async def test_control_without_asked_at_the_late_attempt_moves(servers: Servers) -> None:
    """Control: a worker that ignores `askedAt` moves the booking to ten after it was moved to eleven."""
    async with losing(servers, MOVE.many_subject, without="no_asked_at") as (stack, swallower):
        answer, slot_after = await lose_and_overtake_move(stack, swallower, refused=False)
    assert (answer.status_code, slot_after) == (200, TEN)


async def test_a_request_of_a_closed_connection_is_not_retried(servers: Servers) -> None:
    """The gateway does not retry a POST whose caller has closed the connection."""
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
        await asyncio.sleep(2.5)  # without the check of the connection the gateway would retry after 1.7 s
        assert (await client.post(BOOK_PATH, json={**body, "patientName": "Grace"})).status_code == 201
