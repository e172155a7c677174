"""Leases of workers: each process that may write bookings has one in `meta`, and renews it while it runs.

They stand in the one document that also has the grid and the mark of a change of it. So a lease that is
taken and a mark that is set never pass each other: the server carries out one of both writes first, and the
other one sees it. All times are the server's (`$$NOW`): the clock of a host decides nothing.

A lease lasts longer than a worker's last look at the schema counts (`schema.VALID_SECONDS`): a worker that
has lost its lease has stopped to send writes. What it sent before, and the network kept, is refused by the
validator of the collection (`regridding.py`).
"""

import os
import socket
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

LEASE_SECONDS = 10.0
_LEASES = {"$ifNull": ["$leases", []]}

LIVE: dict[str, Any] = {
    "$filter": {"input": _LEASES, "as": "lease", "cond": {"$gt": ["$$lease.until", "$$NOW"]}}
}
"""An aggregation expression: the leases that have not ended."""


def _process() -> str:
    return f"pid {os.getpid()} on {socket.gethostname()}"


@dataclass(frozen=True)
class Lease:
    """The lease of one process; `process` names it to people."""

    id: str = field(default_factory=lambda: str(uuid4()))
    process: str = field(default_factory=_process)

    def renewed(self) -> dict[str, Any]:
        """An aggregation expression: the live leases, this one among them for its full time."""
        others = {**LIVE["$filter"], "cond": {"$and": [LIVE["$filter"]["cond"], self._is_another()]}}
        mine = {
            "id": {"$literal": self.id},
            "process": {"$literal": self.process},
            "until": {"$add": ["$$NOW", int(LEASE_SECONDS * 1000)]},
        }
        return {"$concatArrays": [{"$filter": others}, [mine]]}

    def given_up(self) -> dict[str, Any]:
        """An update that ends this lease at once."""
        return {"$pull": {"leases": {"id": self.id}}}

    def _is_another(self) -> dict[str, Any]:
        return {"$ne": ["$$lease.id", self.id]}
