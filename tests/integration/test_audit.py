"""The audit of callers: histories and the audit stream for changes, the log for reads."""

import asyncio
import json
from typing import Any

from nats.aio.client import Client

from shared.stores.mongo import connection as mongodb
from tests.integration.event_log import WAIT_SECONDS, EventLog, event_log
from tests.integration.operators import privacy
from tests.integration.test_caller import many, single
from tests.servers import Servers
from tests.slots import fresh

PATIENT = "Zebra Canary"


def caller(id: str) -> dict[str, Any]:
    return {"id": id, "names": True}


async def a_life(connection: Client, body: dict[str, Any]) -> str:
    """Book, move and cancel, each by a caller of its own; return the booking's id."""
    booked = await many(connection, "booking.v1.book_many", body, caller("web"))
    assert booked["status"] == 201
    id: str = booked["body"]["appointment"]["id"]
    move = {"id": id, "slot": "2031-05-04T11:00:00Z"}
    assert (await many(connection, "booking.v1.move_many", move, caller("desk")))["status"] == 200
    assert (await single(connection, "booking.v1.cancel", {"id": id}, caller("sms-bot"))).status == 200
    return id


async def audited(log: EventLog, count: int) -> list[tuple[str, dict[str, Any]]]:
    """The first records of the audit stream, each with its subject."""
    subscription = await log.connection.jetstream().subscribe("audit.v1.>", ordered_consumer=True)
    found: list[tuple[str, dict[str, Any]]] = []
    async with asyncio.timeout(WAIT_SECONDS):
        while len(found) < count:
            message = await subscription.next_msg(WAIT_SECONDS)
            found += [(message.subject, record) for record in json.loads(message.data)["records"]]
    await subscription.unsubscribe()
    return found


async def test_each_change_is_audited_with_its_caller_and_without_a_name(servers: Servers) -> None:
    """The audit stream has who booked, moved, cancelled and erased; events and answers have no caller."""
    async with event_log(servers) as log:
        log.start_relay()
        body = fresh(PATIENT)
        id = await a_life(log.connection, body)
        await privacy(log.stack, "erase", "--id", id, "--yes")
        events = await log.until([f"{id}:{version}" for version in (1, 2, 3, 4)])
        records = await audited(log, 4)
        history = (await log.life.request("booking.v1.history", {"id": id})).text
    assert [
        (subject.removeprefix(f"audit.v1.{body['site']}."), record["version"], record["actor"])
        for subject, record in records
    ] == [("book", 1, "web"), ("move", 2, "desk"), ("cancel", 3, "sms-bot"), ("erase", 4, "command:erase")]
    assert {record["id"] for _, record in records} == {id}
    assert "Zebra" not in str(records)
    for actor in ("web", "desk", "sms-bot", "command", "actor"):
        assert actor not in str([(event.headers, event.data) for event in events]) + history


async def test_change_without_a_key_is_in_no_audit(servers: Servers) -> None:
    """A deployment without keys knows no callers: its history has no actor, and the audit no record."""
    async with event_log(servers) as log:
        log.start_relay()
        booked = await log.life.booked(fresh(PATIENT))
        await log.until([f"{booked['id']}:1"])
        assert (await log.connection.jetstream().stream_info("AUDIT")).state.messages == 0
        database = mongodb.connect(log.stack.env["MONGO_URI"])
        row = await database["appointments"].find_one({"_id": booked["id"]}) or {}
        assert "actor" not in row["history"][0]
        mongodb.close(database)


async def test_deleted_audit_stream_is_created_again(servers: Servers) -> None:
    """A change whose record finds no audit stream is audited once the relay has created the stream."""
    async with event_log(servers) as log:
        log.start_relay()
        before = await a_life(log.connection, fresh(PATIENT))
        await log.until([f"{before}:3"])
        await log.connection.jetstream().delete_stream("AUDIT")
        later = await a_life(log.connection, fresh(PATIENT))
        await log.until([f"{later}:3"])
        records = [(record["id"], record["version"]) for _, record in await audited(log, 3)]
    assert records == [(later, 1), (later, 2), (later, 3)]


async def test_read_is_logged_with_its_caller(servers: Servers) -> None:
    """A worker logs which key read which appointment, and writes no name to its log."""
    async with event_log(servers) as log:
        booked = await log.life.booked(fresh(PATIENT))
        found = await single(log.connection, "booking.v1.get", {"id": booked["id"]}, caller("desk"))
        assert found.body["appointment"]["patientName"] == PATIENT
        log.stack.down()
        lines = [json.loads(line) for line in log.stack.services[0].log.splitlines()]
    read = [line for line in lines if line.get("subject") == "booking.v1.get"]
    assert [(line["callers"], line["appointment_id"]) for line in read] == [(["desk"], booked["id"])]
    assert not any("callers" in line for line in lines if line.get("subject") == "booking.v1.book")
