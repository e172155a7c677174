"""Optimistic concurrency by versions: `If-Match` over HTTP, `ifVersion` over NATS."""

from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient
from nats.aio.client import Client

from tests.integration.life import Life
from tests.slots import fresh

NINE, TEN, ELEVEN = (f"2031-05-04T{hour:02}:00:00.000Z" for hour in (9, 10, 11))
CHANGED = {"error": "The appointment was changed or cancelled since the version in If-Match (ifVersion)"}


@pytest.fixture
def life(nats_connection: Client) -> Life:
    return Life(nats_connection)


async def test_a_change_with_another_version_gets_412(life: Life) -> None:
    """A move or cancel with another version than the booking's gets 412 and changes nothing."""
    id = (await life.booked(fresh()))["id"]
    for wrong in (2, 7, 10**12):
        for answer in (
            await life.move(id, slot=TEN, ifVersion=wrong),
            await life.request("booking.v1.cancel", {"id": id, "ifVersion": wrong}),
        ):
            assert (answer.status, answer.body) == (412, CHANGED)
            assert answer.headers["error-type"] == "PreconditionFailed"
    assert (await life.move(id, slot=TEN, ifVersion=1)).body["appointment"]["version"] == 2
    assert (await life.move(id, slot=ELEVEN, ifVersion=1)).status == 412
    assert (await life.request("booking.v1.cancel", {"id": id, "ifVersion": 2})).status == 200
    assert len(await life.changes(id)) == 3


async def test_a_second_cancel_needs_no_version_or_the_one_it_was_cancelled_at(life: Life) -> None:
    """A second cancel gets 200 without a version or with the version that was cancelled, else 412."""
    id = (await life.booked(fresh()))["id"]
    await life.move(id, slot=TEN)
    assert (await life.cancel(id)).body["appointment"]["version"] == 3
    statuses = [
        (await life.request("booking.v1.cancel", {"id": id, **version})).status
        for version in ({}, {"ifVersion": 1}, {"ifVersion": 2}, {"ifVersion": 3}, {"ifVersion": 4})
    ]
    assert statuses == [200, 412, 200, 412, 412]


@pytest.mark.parametrize("wrong", [0, -1, "1", True, 1.5])
async def test_an_invalid_version_is_refused(life: Life, wrong: Any) -> None:
    """A version that is not a positive integer gets 400, and the error names the field."""
    for answer in (
        await life.move(str(uuid4()), slot=TEN, ifVersion=wrong),
        await life.request("booking.v1.cancel", {"id": str(uuid4()), "ifVersion": wrong}),
    ):
        assert answer.status == 400
        assert "ifVersion" in answer.error


async def test_every_answer_with_an_appointment_has_its_version(http: AsyncClient) -> None:
    """The answers to booking, read, move and cancel have equal versions in the body and in `ETag`."""
    booked = await http.post("/api/book-appointment", json=fresh())
    url = f"/api/appointments/{booked.json()['appointment']['id']}"
    answers = [booked, await http.get(url), await http.patch(url, json={"slot": TEN}), await http.delete(url)]
    assert [answer.json()["appointment"]["version"] for answer in answers] == [1, 1, 2, 3]
    assert [answer.headers["etag"] for answer in answers] == ['"1"', '"1"', '"2"', '"3"']


async def test_over_http_the_version_is_the_if_match_header(http: AsyncClient, life: Life) -> None:
    """`If-Match` accepts the ETag of an answer, or `*` for any version."""
    url = f"/api/appointments/{(await life.booked(fresh()))['id']}"
    stale = await http.patch(url, json={"slot": TEN}, headers={"If-Match": '"2"'})
    assert (stale.status_code, stale.json()) == (412, CHANGED)
    assert (await http.patch(url, json={"slot": TEN}, headers={"If-Match": '"1"'})).status_code == 200
    assert (await http.patch(url, json={"slot": NINE}, headers={"If-Match": "*"})).status_code == 200
    assert (await http.delete(url, headers={"If-Match": '"2"'})).status_code == 412
    for _ in range(2):
        assert (await http.delete(url, headers={"If-Match": '"3"'})).status_code == 200
    assert (await http.delete(url, headers={"If-Match": '"4"'})).status_code == 412
    assert (await http.delete(url)).status_code == 200


@pytest.mark.parametrize(
    "wrong", ['W/"1"', '"1", "2"', "1", '"0"', '"01"', '"one"', "", '"1', "*, *", '"-1"', '"1"x']
)
async def test_an_invalid_if_match_is_refused(http: AsyncClient, life: Life, wrong: str) -> None:
    """An `If-Match` with a weak tag, a list or no version gets 400 that names the header."""
    appointment = await life.booked(fresh())
    url = f"/api/appointments/{appointment['id']}"
    for answer in (
        await http.patch(url, json={"slot": TEN}, headers={"If-Match": wrong}),
        await http.delete(url, headers={"If-Match": wrong}),
    ):
        assert answer.status_code == 400
        assert "If-Match" in answer.json()["error"]
    assert await life.found(appointment["id"]) == appointment


async def test_a_version_may_not_be_sent_twice(http: AsyncClient, life: Life) -> None:
    """Two `If-Match` headers, or `ifVersion` in the query, get 400 and cancel nothing."""
    url = f"/api/appointments/{(await life.booked(fresh()))['id']}"
    assert (await http.delete(url, headers=[("If-Match", '"1"'), ("If-Match", '"1"')])).status_code == 400
    assert (await http.delete(url, params={"ifVersion": "1"})).status_code == 400
    assert (await http.get(url)).json()["appointment"]["status"] == "booked"
