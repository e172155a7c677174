"""Limit what one client does: its rate, and the shares that its holds and bookings count in.

A caller with a secret key has the limits of its key. Other callers are limited by network: patients share a
publishable key, and one of them must not be able to take the calendar hostage.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from secrets import token_bytes

from limits import RateLimitItem, RateLimitItemPerMinute, parse
from starlette.types import Scope

from gateway.access.addresses import Addresses
from gateway.access.identified import Identified
from gateway.access.rates import Rates
from shared.contract.caller import Share
from shared.process.gateway_settings import AccessSettings

MOST_CACHED = 4096
DIGEST_CHARACTERS = 22


class Clients:
    """The clients of this gateway.

    Args:
        settings: the limits of a client, and the proxies to believe about its address.
        secret: of the HMACs of addresses, the same in all gateways. Without it, each gateway has its own.
    """

    def __init__(self, settings: AccessSettings, secret: bytes | None = None) -> None:
        self._addresses = Addresses(settings.proxies)
        self._rates = Rates()
        self._rate: RateLimitItem = parse(settings.rate_per_client)
        self._holds, self._bookings = settings.holds_per_client, settings.bookings_per_client_a_day
        self._secret = secret or token_bytes()
        self._sharing = lru_cache(MOST_CACHED)(self._share)

    def count_key(self, caller: Identified) -> None:
        """Count a request with a secret key.

        Raises:
            TooManyRequests
        """
        if caller.key is not None and caller.key.limits.rate is not None:
            self._rates.count(RateLimitItemPerMinute(caller.key.limits.rate), f"key {caller.key.id}")

    def count_network(self, headers: Mapping[bytes, bytes], scope: Scope) -> str:
        """Count a request of a network, and return the network.

        Raises:
            TooManyRequests
        """
        peer, forwarded = scope.get("client") or ("", 0), headers.get(b"x-forwarded-for", b"")
        network = self._addresses.network_of(peer[0], forwarded.decode("latin-1") or None)
        self._rates.count(self._rate, network)
        return network

    def sharing(self, caller: Identified, network: str) -> Identified:
        """Return the caller with a share that all callers of its network have in common."""
        return self._sharing(caller, network)

    def _share(self, caller: Identified, network: str) -> Identified:
        digest = urlsafe_b64encode(hmac.digest(self._secret, network.encode(), sha256)).decode()
        share = Share(id=f"a:{digest[:DIGEST_CHARACTERS]}", holds=self._holds, bookings=self._bookings)
        limited = caller.caller.model_copy(update={"shares": (*caller.caller.shares, share)})
        return Identified.of(limited, caller.scopes, caller.key, share.id)
