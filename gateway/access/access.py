"""Identify the caller of a request by its header `Authorization`, before its command is read.

Calendar programs cannot send a header, so the key of a calendar is in the query of its path, and is valid
nowhere else.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from starlette.datastructures import QueryParams
from starlette.types import Scope

from gateway.access import links
from gateway.access.clients import Clients
from gateway.access.identified import ANONYMOUS, OPEN, PATIENT, Identified
from gateway.access.jwks import FetchedKeySet, KeySetFile
from gateway.access.jwts import JwtIdentifier
from gateway.access.keys import KeyIdentifier
from gateway.access.links import Links
from shared.contract.errors import Forbidden, Unauthorized
from shared.process.api_keys import ApiKey
from shared.process.gateway_settings import AccessSettings
from shared.process.settings import Misconfigured
from shared.process.watched_file import InvalidFile

LONGEST_TOKEN = 8 * 1024
_AUTHORIZATION, _BEARER = b"authorization", b"bearer"
_JWT_DOTS = 2
LINK = links.PREFIX.encode()
APPOINTMENTS = "/api/appointments"
DOWNLOAD, CALENDARS, KEY = ".ics", "/api/calendars/", "key"

BuiltT = TypeVar("BuiltT")


class Access:
    """Identifies callers, and limits them. Without keys the service is open, and every caller is `OPEN`.

    `links`: makes the links of patients; None without `LINK_KEYS_FILE`. `origins`: of the web pages that may
    use the API.

    Raises:
        Misconfigured: a file that the settings name is wrong.
    """

    def __init__(self, settings: AccessSettings) -> None:
        self._open = not settings.has_keys and not settings.allow_anonymous
        self._anonymous = settings.allow_anonymous
        self.origins = settings.origins
        self.links = _load("LINK_KEYS_FILE", settings.link_keys_file, Links)
        self._clients = Clients(settings, self.links.oldest_key if self.links else None)
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
            Forbidden: a publishable key was sent by a page that may not use it.
            TooManyRequests
        """
        if self._open:
            return OPEN
        if self._anonymous:
            return self._clients.sharing(ANONYMOUS, self._clients.count_network(headers, scope))
        try:
            identified = self._identify(headers, scope)
        except Unauthorized:
            self._clients.count_network(headers, scope)
            raise
        key = identified.key
        if key is not None and key.kind == "publishable":
            self._check_origin(key, headers)
        elif identified is not PATIENT and (key is None or key.kind == "secret"):
            self._clients.count_key(identified)
            return identified
        return self._clients.sharing(identified, self._clients.count_network(headers, scope))

    def _identify(self, headers: Mapping[bytes, bytes], scope: Scope) -> Identified:
        sent = headers.get(_AUTHORIZATION)
        if sent is None:
            return self._subscriber_of(scope)
        scheme, _, token = sent.partition(b" ")
        if scheme.lower() != _BEARER or len(token) > LONGEST_TOKEN:
            raise Unauthorized
        if len(headers) != len(scope["headers"]) and _is_repeated(scope):
            raise Unauthorized
        token = token.strip(b" ")
        if token.startswith(LINK):
            return self._patient_of(token, scope)
        if self._jwts is not None and token.count(b".") == _JWT_DOTS:
            return self._jwts.identify(token)
        if self._keys is None:
            raise Unauthorized
        identified = self._keys.identify(token)
        if identified.key is not None and identified.key.kind == "calendar":
            raise Unauthorized
        return identified

    def _subscriber_of(self, scope: Scope) -> Identified:
        """Return the caller with the key in the query of the calendar that the key opens."""
        if not scope["path"].startswith(CALENDARS) or self._keys is None:
            raise Unauthorized
        tokens = QueryParams(scope["query_string"]).getlist(KEY)
        if len(tokens) != 1 or len(tokens[0]) > LONGEST_TOKEN:
            raise Unauthorized
        identified = self._keys.identify(tokens[0].encode())
        if identified.key is None or identified.key.calendar != scope["path"]:
            raise Unauthorized
        return identified

    def _patient_of(self, token: bytes, scope: Scope) -> Identified:
        """Return the patient whose link opens the appointment in the path of a request."""
        prefix, _, appointment_id = scope["path"].rpartition("/")
        if prefix != APPOINTMENTS or self.links is None:
            raise Unauthorized
        if not self.links.verify(token.decode("latin-1"), appointment_id.removesuffix(DOWNLOAD)):
            raise Unauthorized
        return PATIENT

    def _check_origin(self, key: ApiKey, headers: Mapping[bytes, bytes]) -> None:
        """Refuse a publishable key in a page that may not use it. A page of this gateway may.

        Browsers send neither header wrongly; other programs can. The limits of a network hold them.

        Raises:
            Forbidden
        """
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin in (key.origins or self.origins) or headers.get(b"sec-fetch-site") == b"same-origin":
            return
        raise Forbidden("The key does not permit this origin")


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
