"""Erasures and exports of a person's data, by the command that operators run while workers serve."""

import json
import stat
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from shared.stores.mongo import connection as mongodb
from tests.callers import Answer, Caller
from tests.integration.event_log import data_of, event_log
from tests.integration.life import Life
from tests.integration.operators import privacy
from tests.servers import Servers
from tests.slots import fresh, fresh_site
from tests.stack import Stack

PATIENT = "Zebra Canary"
ELEVEN = "2031-05-04T11:00:00.000Z"


async def booked(caller: Caller, key: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await caller.book(body, **{"Idempotency-Key": key})
    assert answer.status == 201, answer
    appointment: dict[str, Any] = answer.body["appointment"]
    return appointment


async def row_of(stack: Stack, id: str) -> dict[str, Any]:
    database = mongodb.connect(stack.env["MONGO_URI"])
    try:
        row = await database["appointments"].find_one({"_id": id})
        assert row
        return row
    finally:
        mongodb.close(database)


async def test_replay_of_an_erased_booking_is_201_without_a_name(caller: Caller, stack: Stack) -> None:
    """A retry with the key of an erased booking gets that booking without a name, whatever name it sends."""
    body = fresh(PATIENT, contact="zebra@example.org")
    appointment = await booked(caller, "key", body)
    ended = await privacy(stack, "erase", "--id", appointment["id"].upper(), "--yes")
    assert (ended.code, "1 bookings erased" in ended.out) == (0, True)
    del appointment["patientName"], appointment["contact"]
    for name in (PATIENT, "Grace Hopper"):
        again = await caller.book({**body, "patientName": name}, **{"Idempotency-Key": "key"})
        assert (again.status, again.body["appointment"]) == (201, {**appointment, "version": 2})
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["appointment-erased"] == "true"
    assert "zebra" not in str(await row_of(stack, appointment["id"])).lower()


async def replay_of_erased(servers: Servers, without: str) -> Answer:
    """Book, erase, and send the same command again to a worker without a safeguard."""
    with servers.new_stack() as stack:
        stack.start("booking_worker", without=without)
        stack.wait_serving()
        connection = await nats.connect(stack.env["NATS_URL"])
        try:
            life, body = Life(connection), fresh(PATIENT, idempotencyKey="key")
            appointment = await life.booked(body)
            assert (await privacy(stack, "erase", "--id", appointment["id"], "--yes")).code == 0
            return await life.book(body)
        finally:
            await connection.close()


async def test_replay_is_422_if_the_hash_of_an_erased_booking_counts(servers: Servers) -> None:
    """Control: without the exception for erased bookings, the retry is refused as another request."""
    assert (await replay_of_erased(servers, "erased_hash_counts")).status == 422


async def test_erased_booking_can_be_moved_and_cancelled(caller: Caller, stack: Stack) -> None:
    """A move and a cancel of an erased booking succeed, and its history has the erasure among its changes."""
    body = fresh(PATIENT)
    id = (await booked(caller, "key", body))["id"]
    assert (await privacy(stack, "erase", "--id", id, "--yes")).code == 0
    moved = await caller.ask("move", {"id": id, "slot": ELEVEN})
    cancelled = await caller.ask("cancel", {"id": id})
    history = await caller.ask("history", {"id": id})
    for answer in (moved, cancelled):
        assert answer.status == 200
        assert "patientName" not in answer.body["appointment"]
    changes = [(entry["version"], entry["type"]) for entry in history.body["history"]]
    assert changes == [(1, "booked"), (2, "erased"), (3, "moved"), (4, "cancelled")]
    replay = await caller.book(body, **{"Idempotency-Key": "key"})
    assert (replay.status, replay.body["error"]) == (409, "Appointment is cancelled")
    assert replay.body["appointment"] == cancelled.body["appointment"]


async def test_cancel_of_a_version_is_repeatable_after_an_erasure(http_caller: Caller, stack: Stack) -> None:
    """The retry of a conditional cancel is 200 after an erasure; of another version it is 412."""
    id = (await booked(http_caller, "key", fresh(PATIENT)))["id"]
    assert (await http_caller.ask("cancel", {"id": id}, **{"If-Match": '"1"'})).status == 200
    assert (await privacy(stack, "erase", "--id", id, "--yes")).code == 0
    statuses = [
        (await http_caller.ask("cancel", {"id": id}, **{"If-Match": f'"{version}"'})).status
        for version in (1, 2, 3)
    ]
    assert statuses == [200, 412, 412]


async def test_erasure_by_name_takes_every_booking_of_the_name_alone(caller: Caller, stack: Stack) -> None:
    """A name is matched in its normal form; other names, sites and a dry run change nothing."""
    site = fresh_site()
    bodies = [fresh(PATIENT, resources=[f"r{number}"], site=site) for number in range(3)]
    ours = [(await booked(caller, f"ours-{n}", body))["id"] for n, body in enumerate(bodies)]
    await caller.ask("cancel", {"id": ours[0]})
    others = [
        (await booked(caller, "other-name", fresh("Zebra Canary Junior", site=site)))["id"],
        (await booked(caller, "other-site", fresh(PATIENT)))["id"],
    ]
    same_name = "\u00a0Zebra   Canary\u200b "
    dry = await privacy(stack, "erase", "--name", same_name, "--site", site)
    assert dry.out.splitlines()[:2] == [f"{site}: 2 booked", f"{site}: 1 cancelled"]
    assert "Nothing was changed" in dry.out
    assert all([(await row_of(stack, id))["patientName"] for id in ours])
    done = await privacy(stack, "erase", "--name", "-", "--site", site, "--yes", stdin=f"{same_name}\n")
    assert "3 bookings erased" in done.out
    again = await privacy(stack, "erase", "--name", PATIENT, "--site", site, "--yes")
    assert "0 bookings erased" in again.out
    for id in ours:
        row = await row_of(stack, id)
        assert (row["patientName"], row["requestHash"]) == (None, None)
        assert [entry["type"] for entry in row["history"]].count("erased") == 1
    assert all([(await row_of(stack, id))["patientName"] for id in others])
    listed = await caller.ask("list", {"site": site, "from": "2031-05-04T00:00Z", "to": "2031-05-05T00:00Z"})
    names = {entry["id"]: entry.get("patientName") for entry in listed.body["appointments"]}
    assert names == {ours[1]: None, ours[2]: None, others[0]: "Zebra Canary Junior"}


async def test_hold_of_an_erased_bookings_patient_is_honoured_by_its_token(
    nats_connection: Client, stack: Stack
) -> None:
    """A move of an erased booking takes a held slot with the hold's token, and is refused without it."""
    life, body = Life(nats_connection), fresh(PATIENT)
    id = (await life.booked(body))["id"]
    held = await life.hold({**body, "slot": ELEVEN})
    assert (await privacy(stack, "erase", "--id", id, "--yes")).code == 0
    assert (await life.move(id, slot=ELEVEN)).status == 409
    assert (await life.move(id, slot=ELEVEN, holdToken=held.body["hold"]["token"])).status == 200


async def test_export_has_every_row_of_the_person(
    nats_connection: Client, stack: Stack, tmp_path: Path
) -> None:
    """An export is one line of JSON per booking with all that is stored; only its owner may read the file."""
    life, site, name = Life(nats_connection), fresh_site(), "Čeněk Žluťoučký"
    ids = [
        (await life.booked(fresh(name, site=site, resources=[resource], idempotencyKey=resource)))["id"]
        for resource in ("a", "b")
    ]
    await life.booked(fresh(PATIENT, site=site))
    assert (
        await life.request("booking.v1.cancel", {"id": ids[0]}, {"Caller": '{"id":"desk"}'})
    ).status == 200
    file = tmp_path / "export.jsonl"
    ended = await privacy(stack, "export", "--name", name, "--site", site, "--output", str(file))
    assert ended.code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    rows = {row["_id"]: row for row in map(json.loads, file.read_text().splitlines())}
    assert set(rows) == set(ids)
    first = rows[ids[0]]
    assert (first["patientName"], first["status"], first["idempotencyKey"]) == (name, "cancelled", "a")
    assert first["slot"] == "2031-05-04T09:00:00.000Z"
    assert [entry["type"] for entry in first["history"]] == ["booked", "cancelled"]
    assert "actor" not in file.read_text()
    assert (await privacy(stack, "export", "--name", name, "--output", str(file))).code == 2
    printed = await privacy(stack, "export", "--id", ids[1])
    assert [json.loads(line)["_id"] for line in printed.out.splitlines()] == [ids[1]]


@pytest.mark.parametrize(
    "arguments",
    [
        ["erase"],
        ["erase", "--id", "1"],
        ["erase", "--name", "\u202eZebra"],
        ["erase", "--id", "e0d5be10-2c9a-472c-80ee-1a787c88798e", "--site", "s"],
        ["export", "--name", "a", "--site", "no site!"],
    ],
)
async def test_wrong_arguments_end_with_2(stack: Stack, arguments: list[str]) -> None:
    """A wrong argument is named, without the name of a patient."""
    ended = await privacy(stack, *arguments)
    assert (ended.code, "error: " in ended.errors) == (2, True)


async def test_erasure_is_an_event_without_a_name(servers: Servers) -> None:
    """An erasure is published as `erased`, in the order of versions, with the booking's place alone."""
    async with event_log(servers) as log:
        log.start_relay()
        appointment = await log.life.booked(fresh(PATIENT))
        id = appointment["id"]
        assert (await privacy(log.stack, "erase", "--name", PATIENT, "--yes")).code == 0
        await log.life.cancel(id)
        events = await log.until([f"{id}:3"])
    assert [event.subject.rpartition(".")[2] for event in events] == ["booked", "erased", "cancelled"]
    place = {name: appointment[name] for name in ("id", "site", "resources", "slot", "durationMinutes")}
    assert data_of(events[1]) == {**place, "version": 2}
    assert "Zebra" not in str([(event.headers, event.data) for event in events])


async def test_relay_erases_names_after_the_days_of_retention(servers: Servers) -> None:
    """With RETAIN_NAMES_DAYS, a relay erases the names of bookings that ended so long ago, and no other."""
    async with event_log(servers) as log:
        old = await log.life.booked(fresh(PATIENT, slot="2020-01-07T09:00:00Z"))
        new = await log.life.booked(fresh(PATIENT))
        log.start_relay(RETAIN_NAMES_DAYS="30")
        await log.until([f"{old['id']}:2"])
        kept = await log.life.found(new["id"])
        assert (kept["patientName"], kept["version"]) == (PATIENT, 1)
        assert "patientName" not in await log.life.found(old["id"])
        unset = await privacy(log.stack, "retain")
        assert "for ever" in unset.out
