"""Record a booking's completed moves in its row, so that a retry is recognised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_MOVES = 1000
KEPT_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class DoneMove:
    """A move that was carried out, or had nothing to change.

    `request_hash` distinguishes a retry from another request with the same id. `asked_at` is in Unix ms.
    """

    id: str
    request_hash: str
    asked_at: int

    def to_document(self) -> dict[str, Any]:
        return {"moveId": self.id, "hash": self.request_hash, "askedAt": self.asked_at}

    @classmethod
    def from_document(cls, move: dict[str, Any]) -> "DoneMove":
        return cls(move["moveId"], move["hash"], move["askedAt"])


def remember(moves: Sequence[DoneMove], move: DoneMove) -> tuple[DoneMove, ...]:
    """Add a move; drop the oldest beyond `MOST_MOVES`, and moves asked for a day before it.

    No attempt arrives so late, and no caller retries for so long.
    """
    if len(moves) < MOST_MOVES and (not moves or moves[0].asked_at > move.asked_at - KEPT_MS):
        return (*moves, move)
    kept = [earlier for earlier in moves if earlier.asked_at > move.asked_at - KEPT_MS]
    return (*kept[-(MOST_MOVES - 1) :], move)
