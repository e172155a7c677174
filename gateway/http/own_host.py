"""Refuse requests that do not come from the gateway's own host."""

import re
from ipaddress import ip_address

from fastapi import Request

from shared.contract.errors import Forbidden

OWN_HOST_ONLY = "This part of the API answers requests of its own host only"
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_OWN_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]*)?", re.IGNORECASE)


def refuse_strangers(request: Request) -> None:
    """Refuse a request from another host, for another name, or with a header that proxies add.

    The name in `Host` keeps out a page whose name was made to resolve to loopback (DNS rebinding).

    Raises:
        Forbidden
    """
    peer = request.client.host if request.client else ""
    try:
        is_local = ip_address(peer.removeprefix("::ffff:")).is_loopback
    except ValueError:
        is_local = False
    is_own = _OWN_HOST.fullmatch(request.headers.get("host", ""))
    if not is_local or not is_own or any(name in request.headers for name in _FORWARDED):
        raise Forbidden(OWN_HOST_ONLY)
