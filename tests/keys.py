"""Key files for tests."""

import json
import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

ALL_SCOPES = ("book", "hold", "cancel", "move", "read", "names", "schedules", "webhooks", "events", "admin")


def at(seconds: float) -> str:
    """Return a time from now on, as the file has it."""
    return (
        (datetime.now(UTC) + timedelta(seconds=seconds))
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


class KeyFile:
    """A key file that a test changes. It shares no code with the product."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: list[dict[str, Any]] = []
        self._numbers = count(1)
        self.write()

    def new(self, *scopes: str, sites: Any = "all", **more: Any) -> str:
        """Add a key, and return its token."""
        id = f"key-{next(self._numbers)}"
        prefix = {"publishable": "pk", "calendar": "ck"}.get(more.get("kind", ""), "sk")
        token = f"{prefix}_{id}_{os.urandom(32).hex()}"
        key = {
            "id": id,
            "name": "a test",
            "secrets": [{"sha256": digest(token)}],
            "scopes": scopes,
            "sites": sites,
            "created": at(-60),
        }
        self.keys.append(key | more)
        self.write()
        return token

    def of(self, token: str) -> dict[str, Any]:
        """Return the key of a token."""
        return next(key for key in self.keys if key["id"] == token.split("_")[1])

    def write(self) -> None:
        """Replace the file at once, as the command does."""
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"keys": self.keys}))
        new.replace(self.path)


def digest(token: str) -> str:
    """Return what the file has of a token."""
    return sha256(token.encode()).hexdigest()


def bearer(token: str) -> dict[str, str]:
    """Return the header of a request with a key."""
    return {"Authorization": f"Bearer {token}"}
