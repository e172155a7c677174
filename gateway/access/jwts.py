"""Identify callers by JWTs of another issuer.

https://www.rfc-editor.org/rfc/rfc9068 has the claims. `sites` is a claim of this service.
"""

import time
from hashlib import blake2b, sha256
from typing import Any

import jwt
from pydantic import TypeAdapter, ValidationError

from gateway.access.identified import Identified
from gateway.access.jwks import Keys, KeySet
from shared.contract.caller import Caller, Scope
from shared.contract.errors import Unauthorized
from shared.contract.fields import Site
from shared.process.api_keys import JWT_PREFIX

LEEWAY_SECONDS = 10
MOST_CACHED = 4096
_REQUIRED = ["exp", "iss", "aud", "sub"]
_SCOPES = {str(scope): scope for scope in Scope}
_SITES = TypeAdapter(frozenset[Site])
_ID_BYTES = 16


class JwtIdentifier:
    """Identifies callers by JWTs for `audience` by `issuer`.

    Verified tokens are cached, because a signature costs as much as the rest of a request.
    """

    def __init__(self, key_set: KeySet, *, audience: str, issuer: str) -> None:
        self._key_set, self._audience, self._issuer = key_set, audience, issuer
        self._verified: dict[bytes, tuple[Identified, float]] = {}
        self._verified_with: Keys = {}

    def identify(self, token: bytes) -> Identified:
        """Return the caller with a token.

        Raises:
            Unauthorized: the same for each reason.
        """
        keys = self._key_set.keys
        if keys is not self._verified_with:
            self._verified, self._verified_with = {}, keys
        digest = sha256(token).digest()
        identified, until = self._verified.get(digest, (None, 0.0))
        if identified is not None and time.time() < until:
            return identified
        claims = self._verify(token, keys)
        identified = _identified(claims)
        if len(self._verified) >= MOST_CACHED:
            self._verified.clear()
        self._verified[digest] = identified, int(claims["exp"]) + LEEWAY_SECONDS
        return identified

    def _verify(self, token: bytes, keys: Keys) -> dict[str, Any]:
        try:
            key = keys.get(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                self._key_set.miss()
                raise Unauthorized
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError):
            raise Unauthorized from None
        return claims


def _identified(claims: dict[str, Any]) -> Identified:
    """Return the caller that verified claims describe. Without `sites`, it may use no site.

    Raises:
        Unauthorized: a claim of the service has a wrong type.
    """
    sent, sites = claims.get("scope", ""), claims.get("sites", [])
    if not isinstance(sent, str) or not (sites == "all" or isinstance(sites, list)):
        raise Unauthorized
    try:
        permitted = None if sites == "all" else _SITES.validate_python(sites)
    except ValidationError:
        raise Unauthorized from None
    scopes = frozenset(_SCOPES[name] for name in sent.split() if name in _SCOPES)
    caller = Caller(id=_id_of(claims), sites=permitted, names=Scope.NAMES in scopes)
    return Identified.of(caller, scopes)


def _id_of(claims: dict[str, Any]) -> str:
    """Return an id that logs and histories may show: `sub` may be the address or the name of a person."""
    return (
        JWT_PREFIX + blake2b(claims["sub"].encode(errors="surrogatepass"), digest_size=_ID_BYTES).hexdigest()
    )
