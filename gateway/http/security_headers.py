"""Response headers that restrict what browsers do with a response.

https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html
"""

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]
CSP = b"content-security-policy"
ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
# An answer of the API is no page: even if a browser shows it as one, it loads and runs nothing.
OF_DATA: tuple[Header, ...] = (*ALWAYS, (CSP, b"default-src 'none'; frame-ancestors 'none'"))
HSTS: Header = (b"strict-transport-security", b"max-age=31536000")


def with_defaults(headers: Iterable[Header]) -> list[Header]:
    """Return the headers of a response with those of this module; its own policy stays."""
    own = list(headers)
    return [*own, *(ALWAYS if any(name == CSP for name, _ in own) else OF_DATA)]


class StrictTransport:
    """Adds `Strict-Transport-Security` to every response of `app`, which is served over TLS."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), HSTS]
            await send(message)

        await self._app(scope, receive, send_strictly)
