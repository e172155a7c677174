"""Build the updates of worker leases: each process that may write bookings renews one in `meta`.

The leases are in the same document as the grid and the record of an unfinished change of it. So taking a
lease and beginning a change are serialised: MongoDB carries out one of the two writes first, and the other
write sees it. All times are the server's (`$$NOW`), so no host's clock decides.

A lease lasts longer than a worker's last schema check counts (`schema.VALID_SECONDS`), so a worker that has
lost its lease has already stopped sending writes. The validator of the collection refuses writes that it sent
before and that the network delayed (`regridding.py`).
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
    """The lease of one process. `process` identifies it to people."""

    id: str = field(default_factory=lambda: str(uuid4()))
    process: str = field(default_factory=_process)

    def renewed(self) -> dict[str, Any]:
        """Return an aggregation expression: the live leases, with this one renewed for its full time."""
        others = {**LIVE["$filter"], "cond": {"$and": [LIVE["$filter"]["cond"], self._is_another()]}}
        mine = {
            "id": {"$literal": self.id},
            "process": {"$literal": self.process},
            "until": {"$add": ["$$NOW", int(LEASE_SECONDS * 1000)]},
        }
        return {"$concatArrays": [{"$filter": others}, [mine]]}

    def given_up(self) -> dict[str, Any]:
        """Return an update that ends this lease at once."""
        return {"$pull": {"leases": {"id": self.id}}}

    def _is_another(self) -> dict[str, Any]:
        return {"$ne": ["$$lease.id", self.id]}
