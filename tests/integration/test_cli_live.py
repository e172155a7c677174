"""The command `slotkeeper` as a process of its own, against services that run."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import randrange
from typing import Any

import pytest

from tests.slots import fresh_site
from tests.stack import Stack

ROOT = Path(__file__).parents[2]


class Desk:
    """Where one types commands, at a site of its own."""

    def __init__(self, url: str) -> None:
        self.env = {**os.environ, "SLOTKEEPER_URL": url, "TZ": "America/New_York"}
        self.site = fresh_site()

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command that goes on."""
        command = [sys.executable, "-m", "shared.cli", *words]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def type_in(self, *words: str) -> tuple[int, Any]:
        """How a command ends, and the JSON that it prints."""
        process = self.start(*words, "--json")
        stdout, _ = process.communicate(timeout=60)
        return process.returncode, json.loads(stdout)

    def done(self, *words: str) -> Any:
        """The JSON that a command prints which is done."""
        code, body = self.type_in(*words)
        assert code == 0, body
        return body


@pytest.fixture
def desk(stack: Stack) -> Desk:
    return Desk(stack.url)


def test_a_receptionist_does_it_all(desk: Desk) -> None:
    """A booking is made, met, moved, shown, listed and cancelled; a hold is placed, met and released."""
    nine, ten, site = "2031-05-04 09:00", "2031-05-04 10:00", ("--site", desk.site)
    doctor, room = ("-r", "dr-lee"), ("-r", "room-2")
    id = desk.done("book", nine, "Ada", *doctor, *room, *site)["appointment"]["id"]
    code, body = desk.type_in("book", nine, "Grace", *room, *site)
    assert (code, body) == (1, {"error": "Slot already booked", "type": "SlotAlreadyBooked"})

    token = desk.done("hold", ten, "Grace", *doctor, *site)["hold"]["token"]
    code, body = desk.type_in("move", id, ten)
    assert (code, body) == (1, {"error": "Slot is currently held by another user", "type": "SlotHeld"})
    day = ("2031-05-04", *doctor, *site)
    states = [taken["state"] for taken in desk.done("slots", *day)["taken"]]
    assert states == ["booked", "held"]
    slots = desk.done("slots", "2031-05-04", *site)["taken"]
    assert [taken["resource"] for taken in slots] == ["dr-lee", "room-2", "dr-lee"]
    assert desk.done("release", token, "--slot", ten, *site) == {"message": "Hold released"}
    assert desk.type_in("release", token, *site)[0] == 1

    moved = desk.done("move", id, ten)["appointment"]
    assert moved["slot"] == "2031-05-04T14:00:00.000Z"
    assert desk.done("show", id) == {"appointment": moved}
    assert desk.done("day", *day) == {"appointments": [moved]}
    assert desk.done("cancel", id)["appointment"]["status"] == "cancelled"
    changes = desk.done("history", id)["history"]
    assert [change["type"] for change in changes] == ["booked", "moved", "cancelled"]
    assert desk.done("day", *day) == {"appointments": []}


@pytest.mark.parametrize("path", ["/api", "/docs", "/api/appointments", "/nowhere"])
def test_a_url_below_the_root_is_a_wrong_request(desk: Desk, path: str) -> None:
    """A URL that was copied from a browser's address line is refused, whether one looks or books."""
    for words in (("day",), ("book", "2031-05-04 09:00", "Ada"), ("cancel", "x"), ("show", "x")):
        code, body = desk.type_in(*words, "--url", f"{desk.env['SLOTKEEPER_URL']}{path}")
        assert (code, body["type"]) == (2, "UsageError")
        assert "is not the root of a gateway" in body["error"]


def test_a_wrong_field_is_a_wrong_request(desk: Desk) -> None:
    """What the service does not take is told by its own sentence."""
    code, body = desk.type_in("book", "2031-05-04 09:00", "Ada", "-r", "dr lee")
    assert code == 2
    assert body["error"].startswith("resources must be")


def test_a_key_makes_a_repeat_the_same_booking(desk: Desk) -> None:
    """What is typed again with its key is the booking that is there."""
    slot = datetime(2031, 1, 1, tzinfo=UTC) + timedelta(milliseconds=randrange(10**12))
    words = ("book", slot.isoformat(), "Ada", "--site", desk.site, "--key", "desk-1")
    assert desk.done(*words) == desk.done(*words)


def test_who_watches_sees_a_booking_come(desk: Desk) -> None:
    """A slot that is booked meanwhile is printed; Ctrl-C ends it well."""
    desk.done("book", "2031-05-04 09:00", "Ada", "--site", desk.site)
    watching = desk.start("watch", "2031-05-04", "--site", desk.site, "--every", "0.1")
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "2031-05-04 09:00 -04:00 (5 minutes)  booked  default\n"
        desk.done("book", "2031-05-04 10:00", "Ada", "--site", desk.site)
        assert watching.stdout.readline() == "2031-05-04 10:00 -04:00 (5 minutes)  booked  default\n"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
    finally:
        watching.kill()
        watching.communicate()
