"""Read the final rows with majority read concern."""

from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient
from pymongo.read_concern import ReadConcern

from tests.proof.faults.history import Row
from tests.proof.faults.places import Change, Place, Service, slot_text
from tests.proof.faults.recorder import Recorder

COLLECTION = "appointments"


def read_rows(uri: str, recorder: Recorder) -> tuple[Row, ...]:
    """Return every booking; tombstones are left out."""
    with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        rows = client.get_default_database().get_collection(COLLECTION, read_concern=ReadConcern("majority"))
        return tuple(_row(row, recorder) for row in rows.find({"status": {"$ne": "refused"}}))


def _row(row: dict[str, Any], recorder: Recorder) -> Row:
    place = _place(row, row["site"])
    return Row(
        id=row["_id"],
        site=row["site"],
        resources=place.resources,
        slot=place.slot,
        patient=row["patientName"],
        key=row["idempotencyKey"],
        status=row["status"],
        created=recorder.moment(row["createdAt"]),
        minutes=place.minutes,
        service=place.service,
        version=row["version"],
        attendance=row.get("attendance"),
        history=tuple(
            Change(
                entry["type"],
                _place(entry, row["site"]),
                entry["version"],
                entry.get("moveId"),
                recorder.moment(entry["at"]),
                entry.get("attendance"),
            )
            for entry in row["history"]
        ),
        stored=frozenset(
            (row["site"], resource, slot_text(datetime.fromtimestamp(int(ms) / 1000, UTC)))
            for resource, ms in (claim.rsplit("/", 1) for claim in row["claims"])
        ),
    )


def _place(stored: dict[str, Any], site: str) -> Place:
    slot = slot_text(stored["slot"])
    minutes, service = stored.get("durationMinutes"), Service.of(stored)
    return Place(site, tuple(stored["resources"]), slot, minutes, service)
