"""Remove a safeguard from the process of a test, until the test ends."""

import pytest

from shared.domain.digests import Digests
from shared.stores.mongo.bookings import BookingStore
from shared.stores.redis import server
from tests.sabotage import SABOTAGES


def remove(monkeypatch: pytest.MonkeyPatch, safeguard: str) -> None:
    """Remove a safeguard of scripts, digests or reads; '' removes none."""
    monkeypatch.setattr(server, "_SOURCES", dict(server._SOURCES))
    monkeypatch.setattr(server, "_DIGESTS", dict(server._DIGESTS))
    for changed, name in ((Digests, "of_key"), (BookingStore, "find")):
        monkeypatch.setattr(changed, name, vars(changed)[name])
    if safeguard:
        SABOTAGES[safeguard]()
