"""Identify callers by API keys."""

import time
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from math import inf
from pathlib import Path

from gateway.access.identified import Identified
from shared.contract.errors import Unauthorized
from shared.process.api_keys import ApiKey, parse_keys
from shared.process.watched_file import WatchedFile

UNKNOWN_ID = ((bytes(32), inf),)
"""The digests that the token of an unknown id is compared with, so that it takes the time of a wrong one."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """A key, prepared: digests with the Unix times of their ends, and who its callers are."""

    digests: tuple[tuple[bytes, float], ...]
    identified: Identified | None


_UNKNOWN = _Entry(UNKNOWN_ID, None)


class KeyIdentifier:
    """Identifies callers by the keys of a file, which is read again after a change.

    Raises:
        InvalidFile: the file is wrong.
    """

    def __init__(self, path: Path) -> None:
        self._entries = WatchedFile(path, _parse)

    def identify(self, token: bytes) -> Identified:
        """Return the caller with a token.

        Raises:
            Unauthorized: the same for an unknown, wrong, expired or revoked token.
        """
        parts = token.split(b"_", 2)
        entry = self._entries.content.get(parts[1] if len(parts) == 3 else b"", _UNKNOWN)
        digest = sha256(token).digest()
        found = False
        for known, until in entry.digests:
            found |= compare_digest(known, digest) and time.time() < until
        if not found or entry.identified is None:
            raise Unauthorized
        return entry.identified


def _parse(data: bytes) -> dict[bytes, _Entry]:
    return {key.id.encode(): _entry_of(key) for key in parse_keys(data) if key.secrets}


def _entry_of(key: ApiKey) -> _Entry:
    expires = inf if key.expires is None else key.expires.timestamp()
    digests = (
        (bytes.fromhex(secret.sha256), min(expires, secret.until.timestamp() if secret.until else inf))
        for secret in key.secrets
    )
    return _Entry(tuple(digests), Identified.of(key.caller(), key.scopes, key))
