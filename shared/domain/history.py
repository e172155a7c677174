"""Keep the history of a booking in its row: one entry per change, written with the change."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from shared.contract.replies import Change

MOST_ENTRIES = 100

ChangeType = Literal["booked", "moved", "cancelled"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A change of a booking, and its place from then on. `move_id` identifies the request of a move."""

    version: int
    type: ChangeType
    at: datetime
    slot: datetime
    duration: int | None
    resources: tuple[str, ...]
    move_id: str | None = None

    def to_document(self) -> dict[str, Any]:
        document = {
            "version": self.version,
            "type": self.type,
            "at": self.at,
            "slot": self.slot,
            "durationMinutes": self.duration,
            "resources": list(self.resources),
        }
        return document if self.move_id is None else {**document, "moveId": self.move_id}

    @classmethod
    def from_document(cls, entry: dict[str, Any]) -> "Entry":
        return cls(
            entry["version"],
            entry["type"],
            entry["at"],
            entry["slot"],
            entry["durationMinutes"],
            tuple(entry["resources"]),
            entry.get("moveId"),
        )

    def to_change(self) -> Change:
        """Return the change that callers see."""
        return Change.model_construct(
            version=self.version,
            type=self.type,
            at=self.at,
            slot=self.slot,
            durationMinutes=self.duration,
            resources=self.resources,
        )


History = tuple[Entry, ...]


def extended(history: History, entry: Entry) -> History:
    """Return the history with one more entry. It keeps `MOST_ENTRIES`: the first one and the latest ones."""
    first, *later = *history, entry
    return first, *later[-(MOST_ENTRIES - 1) :]
