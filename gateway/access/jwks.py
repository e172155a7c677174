"""The keys that sign JWTs: a JSON Web Key Set in a file, or at a URL that is fetched in the background.

https://www.rfc-editor.org/rfc/rfc7517
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import httpx
import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from shared.process.watched_file import InvalidFile, WatchedFile

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Asymmetric ones alone: a key set is public, so its keys must not be able to sign."""
LARGEST_SET = 256 * 1024
MOST_KEYS = 100
FETCH_SECONDS = 5.0
REFRESH_SECONDS = 300.0
SOONEST_SECONDS = 10.0
"""Between two fetches: tokens with unknown keys must not make the gateway flood its issuer."""

log = structlog.get_logger()

Keys = Mapping[str | None, PyJWK]
"""Keys by id. The only key of a set is there under None too, for tokens that name no key."""


class KeySet(Protocol):
    """A source of keys."""

    @property
    def keys(self) -> Keys:
        """The keys at this moment."""

    def miss(self) -> None:
        """Note that a token names a key that is not there."""


def parse_key_set(data: bytes) -> Keys:
    """Return the keys of a set that verify signatures with one of `ALGORITHMS`.

    Raises:
        InvalidFile: it is no key set, or has no such key.
    """
    try:
        listed = json.loads(data)["keys"]
        found = [each for each in listed if isinstance(each, dict)][:MOST_KEYS]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidFile("is not a JSON Web Key Set") from None
    keys: dict[str | None, PyJWK] = {}
    for each in found:
        if (key := _read(each)) is not None:
            keys[key.key_id] = key
    if not keys:
        raise InvalidFile("has no key for signatures with an asymmetric algorithm")
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))
    return keys


def _read(jwk: dict[str, Any]) -> PyJWK | None:
    """Return a key, or None if it is not for signatures that this service accepts."""
    if jwk.get("use", "sig") != "sig" or jwk.get("kty") == "oct":
        return None
    try:
        key = PyJWK(jwk)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    return key if key.algorithm_name in ALGORITHMS else None


class KeySetFile:
    """The key set in a file, which is read again after a change.

    Raises:
        InvalidFile: the file is wrong.
    """

    def __init__(self, path: Path) -> None:
        self._file = WatchedFile(path, parse_key_set)

    @property
    def keys(self) -> Keys:
        return self._file.content

    def miss(self) -> None:
        """Do nothing: the file is looked at each second."""


class FetchedKeySet:
    """The key set at a URL: empty until it was fetched. If a later fetch fails, the last set stays."""

    def __init__(self, url: str) -> None:
        self.keys: Keys = {}
        self._url = url
        self._missed = asyncio.Event()

    def miss(self) -> None:
        """Fetch soon: the issuer may have a new key."""
        self._missed.set()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Fetch the set now and then."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        async with httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as client:
            while True:
                fetched_at = time.monotonic()
                await self._fetch(client)
                self._missed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH_SECONDS if self.keys else SOONEST_SECONDS):
                        await self._missed.wait()
                await asyncio.sleep(max(0, fetched_at + SOONEST_SECONDS - time.monotonic()))

    async def _fetch(self, client: httpx.AsyncClient) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS), client.stream("GET", self._url) as answer:
                answer.raise_for_status()
                data = b""
                async for part in answer.aiter_bytes():
                    data += part
                    if len(data) > LARGEST_SET:
                        raise InvalidFile("is too large")
            self.keys = parse_key_set(data)
        except (httpx.HTTPError, TimeoutError) as error:
            log.error("jwks_not_fetched", reason=type(error).__name__)
        except InvalidFile as error:
            log.error("jwks_not_fetched", reason=str(error))
