"""Calls of the command `slotkeeper` in this process, and replies that a gateway gives."""

import json
from typing import Any

from typer.testing import CliRunner, Result

from shared.cli.app import app

ID = "0b5f2a53-6f0e-4d1c-9a53-0c9f1f3a2c11"
TOKEN = "6f1c1a52-9d5e-4b7e-8a43-0c6b3a8c7d10"
NINE = "2031-05-04T09:00:00.000Z"
WINDOW = "resource=dr-lee&from=2031-05-03T22%3A00%3A00.000Z&to=2031-05-04T22%3A00%3A00.000Z"
APPOINTMENT = {
    "id": ID,
    "site": "default",
    "resources": ["dr-lee"],
    "slot": NINE,
    "durationMinutes": 45,
    "patientName": "Ada [red] :cat:",
    "status": "booked",
    "version": 1,
    "createdAt": NINE,
}
HOLD = {"token": TOKEN, "site": "default", "resources": ["dr-lee"], "slot": NINE, "expiresAt": NINE}
TAKEN = {"resource": "dr-lee", "slot": NINE, "durationMinutes": 45, "state": "held"}
PAGE = {"site": "default", "from": NINE, "to": NINE, "holds": "known"}


def event(name: str, data: dict[str, Any], retry: int = 10) -> bytes:
    """A server-sent event, as a gateway streams it."""
    return f"event: {name}\ndata: {json.dumps(data)}\nid: 1\nretry: {retry}\n\n".encode()


def invoke(url: str, *words: str) -> Result:
    """Run a command in this process, as typed in a terminal."""
    result = CliRunner(env={"SLOTKEEPER_URL": url, "COLUMNS": "100"}).invoke(app, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result
