"""Identify the caller of a request by its header `Authorization`, before its command is read."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from starlette.types import Scope

from gateway.access.identified import OPEN, Identified
from gateway.access.jwks import FetchedKeySet, KeySetFile
from gateway.access.jwts import JwtIdentifier
from gateway.access.keys import KeyIdentifier
from shared.contract.errors import Unauthorized
from shared.process.settings import AccessSettings, Misconfigured
from shared.process.watched_file import InvalidFile

LONGEST_TOKEN = 8 * 1024
_AUTHORIZATION, _BEARER = b"authorization", b"bearer"
_JWT_DOTS = 2

BuiltT = TypeVar("BuiltT")


class Access:
    """Identifies callers. Without keys the service is open, and every caller is `OPEN`.

    Raises:
        Misconfigured: a file that the settings name is wrong.
    """

    def __init__(self, settings: AccessSettings) -> None:
        self._open = not settings.has_keys
        self._keys = _load("API_KEYS_FILE", settings.api_keys_file, KeyIdentifier)
        self._key_set = (
            FetchedKeySet(settings.jwks_url)
            if settings.jwks_url
            else _load("JWKS_FILE", settings.jwks_file, KeySetFile)
        )
        self._jwts = (
            None
            if self._key_set is None
            else JwtIdentifier(
                self._key_set, audience=str(settings.jwt_audience), issuer=str(settings.jwt_issuer)
            )
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fetch keys meanwhile, if they have a URL."""
        if isinstance(self._key_set, FetchedKeySet):
            async with self._key_set.following():
                yield
        else:
            yield

    def identify(self, headers: Mapping[bytes, bytes], scope: Scope) -> Identified:
        """Return the caller of a request.

        Args:
            headers: of the request, by their lower-case names.
            scope: the ASGI scope of the request.

        Raises:
            Unauthorized: the same for each reason.
        """
        if self._open:
            return OPEN
        sent = headers.get(_AUTHORIZATION, b"")
        scheme, _, token = sent.partition(b" ")
        if scheme.lower() != _BEARER or len(token) > LONGEST_TOKEN:
            raise Unauthorized
        if len(headers) != len(scope["headers"]) and _is_repeated(scope):
            raise Unauthorized
        token = token.strip(b" ")
        if self._jwts is not None and token.count(b".") == _JWT_DOTS:
            return self._jwts.identify(token)
        if self._keys is None:
            raise Unauthorized
        return self._keys.identify(token)


def _is_repeated(scope: Scope) -> bool:
    return [name for name, _ in scope["headers"]].count(_AUTHORIZATION) > 1


def _load(variable: str, path: Path | None, kind: Callable[[Path], BuiltT]) -> BuiltT | None:
    """Build what reads a file.

    Raises:
        Misconfigured: the file is wrong.
    """
    try:
        return kind(path) if path else None
    except InvalidFile as error:
        raise Misconfigured(f"{variable}: {error}") from None
