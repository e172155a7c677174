"""`slotkeeper events` as its own process: it prints the changes of bookings from NATS."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.local.ports import free_port
from tests.integration.event_log import EventLog, event_log
from tests.integration.life import Life
from tests.servers import Servers
from tests.slots import fresh

ROOT = Path(__file__).parents[2]
EARLIER = ("--since", "2020-01-01T00:00Z")


@contextmanager
def following(log: EventLog, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command; Ctrl-C ends it with 0 and no line on stderr."""
    env = {**os.environ, "NATS_URL": log.stack.env["NATS_URL"], "TZ": "America/New_York"}
    process = subprocess.Popen(
        [sys.executable, "-m", "shared.cli", "events", *words],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
        assert (process.returncode, stderr) == (0, "")
    finally:
        process.kill()
        process.communicate()


async def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 20)


async def moved_and_cancelled(life: Life, body: dict[str, Any]) -> str:
    id: str = (await life.booked(body))["id"]
    await life.move(id, slot="2031-05-04T11:00:00Z")
    await life.cancel(id)
    return id


async def test_events_are_printed_for_people_and_programs(servers: Servers) -> None:
    """Each change of a site is a line, or JSON with `--json`, without a name."""
    async with event_log(servers) as log:
        log.start_relay()
        body = fresh("Zebra-Canary", resources=["dr-lee", "room-2"], durationMinutes=30)
        await log.life.booked(fresh())
        id = await moved_and_cancelled(log.life, body)
        await log.until([f"{id}:3"])
        site = ("--site", body["site"])
        with following(log, *site, *EARLIER) as human, following(log, *site, *EARLIER, "--json") as machine:
            lines = [await line_of(human) for _ in range(3)]
            events = [json.loads(await line_of(machine)) for _ in range(3)]
    place = "2031-05-04 05:00 -04:00 (30 minutes)  dr-lee, room-2"
    assert lines[0].endswith(f"  booked  {body['site']}  {place}  {id} version 1\n")
    assert [line.split("  ")[1] for line in lines] == ["booked", "moved", "cancelled"]
    assert [(event["type"], event["id"], event["version"]) for event in events] == [
        ("booked", id, 1),
        ("moved", id, 2),
        ("cancelled", id, 3),
    ]
    assert events[1]["previous"]["slot"] == "2031-05-04T09:00:00.000Z"
    assert "Zebra" not in "".join(lines) + json.dumps(events)


async def test_durable_name_continues_where_it_was_left(servers: Servers) -> None:
    """With `--durable`, a later call goes on behind the last event that was printed and followed."""
    async with event_log(servers) as log:
        log.start_relay()
        first = await log.life.booked(fresh())
        second = await log.life.booked(fresh())
        await log.until([f"{each['id']}:1" for each in (first, second)])
        words = (*EARLIER, "--durable", "desk", "--json")
        with following(log, *words) as process:
            printed = [json.loads(await line_of(process))["id"] for _ in range(2)]
        assert printed == [first["id"], second["id"]]
        third = await log.life.booked(fresh())
        with following(log, "--durable", "desk", "--json") as process:
            again = [json.loads(await line_of(process))["id"]]
            if again == [second["id"]]:  # printed, but not acknowledged when Ctrl-C came
                again.append(json.loads(await line_of(process))["id"])
        assert again[-1] == third["id"]


def test_without_nats_the_command_ends_with_3() -> None:
    """If NATS cannot be reached, the command says so and exits with 3."""
    url = f"nats://127.0.0.1:{free_port()}"
    result = subprocess.run(
        [sys.executable, "-m", "shared.cli", "events", "--nats", url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.endswith("NATS cannot be reached\n")
