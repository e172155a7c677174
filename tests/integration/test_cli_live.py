"""The command `slotkeeper` as its own process, against running services."""

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


class Terminal:
    """A terminal with a site of its own."""

    def __init__(self, url: str) -> None:
        self.env = {**os.environ, "SLOTKEEPER_URL": url, "TZ": "America/New_York"}
        self.site = fresh_site()

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        command = [sys.executable, "-m", "shared.cli", *words]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *words: str) -> tuple[int, Any]:
        """Run a command; return its exit code and the JSON that it prints."""
        process = self.start(*words, "--json")
        stdout, _ = process.communicate(timeout=60)
        return process.returncode, json.loads(stdout)

    def succeed(self, *words: str) -> Any:
        """Run a command that succeeds; return the JSON that it prints."""
        code, body = self.run(*words)
        assert code == 0, body
        return body


@pytest.fixture
def terminal(stack: Stack) -> Terminal:
    return Terminal(stack.url)


def test_receptionist_uses_every_command(terminal: Terminal) -> None:
    """A booking is made, refused to another patient, moved and cancelled; a hold is placed and released."""
    nine, ten, site = "2031-05-04 09:00", "2031-05-04 10:00", ("--site", terminal.site)
    doctor, room = ("-r", "dr-lee"), ("-r", "room-2")
    id = terminal.succeed("book", nine, "Ada", *doctor, *room, *site)["appointment"]["id"]
    code, body = terminal.run("book", nine, "Grace", *room, *site)
    assert (code, body) == (1, {"error": "Slot already booked", "type": "SlotAlreadyBooked"})

    token = terminal.succeed("hold", ten, "Grace", *doctor, *site)["hold"]["token"]
    code, body = terminal.run("move", id, ten)
    assert (code, body) == (1, {"error": "Slot is currently held by another user", "type": "SlotHeld"})
    day = ("2031-05-04", *doctor, *site)
    states = [taken["state"] for taken in terminal.succeed("slots", *day)["taken"]]
    assert states == ["booked", "held"]
    slots = terminal.succeed("slots", "2031-05-04", *site)["taken"]
    assert [taken["resource"] for taken in slots] == ["dr-lee", "room-2", "dr-lee"]
    assert terminal.succeed("release", token, "--slot", ten, *site) == {"message": "Hold released"}
    assert terminal.run("release", token, *site)[0] == 1

    moved = terminal.succeed("move", id, ten)["appointment"]
    assert moved["slot"] == "2031-05-04T14:00:00.000Z"
    assert terminal.succeed("show", id) == {"appointment": moved}
    assert terminal.succeed("day", *day) == {"appointments": [moved]}
    assert terminal.succeed("cancel", id)["appointment"]["status"] == "cancelled"
    changes = terminal.succeed("history", id)["history"]
    assert [change["type"] for change in changes] == ["booked", "moved", "cancelled"]
    assert terminal.succeed("day", *day) == {"appointments": []}


@pytest.mark.parametrize("path", ["/api", "/docs", "/api/appointments", "/nowhere"])
def test_url_below_the_root_is_a_wrong_request(terminal: Terminal, path: str) -> None:
    """A URL copied from a browser's address bar is refused, for reads and for changes."""
    for words in (("day",), ("book", "2031-05-04 09:00", "Ada"), ("cancel", "x"), ("show", "x")):
        code, body = terminal.run(*words, "--url", f"{terminal.env['SLOTKEEPER_URL']}{path}")
        assert (code, body["type"]) == (2, "UsageError")
        assert "is not the root of a gateway" in body["error"]


def test_invalid_field_is_a_wrong_request(terminal: Terminal) -> None:
    """A field that the service refuses is reported with the service's sentence."""
    code, body = terminal.run("book", "2031-05-04 09:00", "Ada", "-r", "dr lee")
    assert code == 2
    assert body["error"].startswith("resources must be")


def test_retry_with_its_key_is_the_same_booking(terminal: Terminal) -> None:
    """A command that is typed again with its key returns the existing booking."""
    slot = datetime(2031, 1, 1, tzinfo=UTC) + timedelta(milliseconds=randrange(10**12))
    words = ("book", slot.isoformat(), "Ada", "--site", terminal.site, "--key", "desk-1")
    assert terminal.succeed(*words) == terminal.succeed(*words)


def test_watch_prints_a_new_booking(terminal: Terminal) -> None:
    """`watch` prints a slot that is booked meanwhile; Ctrl-C ends it with 0."""
    terminal.succeed("book", "2031-05-04 09:00", "Ada", "--site", terminal.site)
    watching = terminal.start("watch", "2031-05-04", "--site", terminal.site)
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "2031-05-04 09:00 -04:00 (5 minutes)  booked  default\n"
        terminal.succeed("book", "2031-05-04 10:00", "Ada", "--site", terminal.site)
        assert watching.stdout.readline() == "2031-05-04 10:00 -04:00 (5 minutes)  booked  default\n"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
    finally:
        watching.kill()
        watching.communicate()
