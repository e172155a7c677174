"""Examples of commands and replies, which the documents show.

The examples are one story: Ada Lovelace's appointment is booked, moved and cancelled.
"""

from typing import Any

from . import replies
from .instants import parse_instant

ID = "e0d5be10-2c9a-472c-80ee-1a787c88798e"
TOKEN = "6f1c1a52-9d5e-4b7e-8a43-0c6b3a8c7d10"  # noqa: S105 - an example of a hold's token
MOVE_ID = "0b6e3f0c-7d53-4d0e-b7f4-5a2f6c1d9e88"
# The cursor after the appointment above: its slot and id.
CURSOR = "MTg5NDAwNjgwMDAwMC9lMGQ1YmUxMC0yYzlhLTQ3MmMtODBlZS0xYTc4N2M4ODc5OGU"
SITE, RESOURCES, MINUTES = "harbour", ("dr-lee", "room-2"), 30
SLOT, LATER = parse_instant("2030-01-07T09:00:00Z"), parse_instant("2030-01-07T10:30:00Z")
MADE, CHANGED = parse_instant("2029-12-01T08:15:30.123Z"), parse_instant("2029-12-02T10:00:00.456Z")
DAY = {"site": SITE, "from": "2030-01-07T00:00:00Z", "to": "2030-01-08T00:00:00Z"}
WINDOW = {**DAY, "resource": ["dr-lee"]}
REQUEST: dict[str, Any] = {
    "slot": SLOT,
    "patientName": "Ada Lovelace",
    "contact": "+44 20 7946 0958",
    "site": SITE,
    "resources": RESOURCES,
    "durationMinutes": MINUTES,
}
BOOKED = replies.Appointment(**REQUEST, id=ID, status="booked", version=1, createdAt=MADE)
MOVED = BOOKED.model_copy(update={"slot": LATER, "version": 2})
AMENDED = MOVED.model_copy(update={"attendance": "arrived", "version": 3})
CANCELLED = MOVED.model_copy(update={"status": "cancelled", "version": 3})
HOLD = replies.Hold(
    token=TOKEN,
    site=SITE,
    resources=RESOURCES,
    slot=SLOT,
    durationMinutes=MINUTES,
    expiresAt=parse_instant("2029-12-01T08:20:30.123Z"),
)
HISTORY = [
    replies.Change(
        version=1, type="booked", at=MADE, slot=SLOT, durationMinutes=MINUTES, resources=RESOURCES
    ),
    replies.Change(
        version=2, type="moved", at=CHANGED, slot=LATER, durationMinutes=MINUTES, resources=RESOURCES
    ),
]
TAKEN = [
    replies.TakenSlot(resource="dr-lee", slot=SLOT, durationMinutes=MINUTES, state="booked"),
    replies.TakenSlot(resource="dr-lee", slot=LATER, durationMinutes=MINUTES, state="held"),
]
READY = replies.Readiness(ready=True, checks={"mongodb": "ok", "redis": "ok"})
