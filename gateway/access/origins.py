"""Let web pages of other origins use the API from a browser (CORS, https://fetch.spec.whatwg.org)."""

from collections.abc import Collection

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from shared.contract.headers import (
    APPOINTMENT_TOKEN,
    ERROR_TYPE,
    ETAG,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    RATE_LIMIT,
    RATE_LIMIT_POLICY,
    REPLAYED,
    REQUEST_ID,
    RETRY_AFTER,
)

PREFLIGHT_SECONDS = 600
SENT = ("Authorization", "Content-Type", IDEMPOTENCY_KEY, IF_MATCH, "Last-Event-ID", REQUEST_ID)
READ = (
    APPOINTMENT_TOKEN,
    ERROR_TYPE,
    ETAG,
    RATE_LIMIT,
    RATE_LIMIT_POLICY,
    REPLAYED,
    REQUEST_ID,
    RETRY_AFTER,
)


def share_with(origins: Collection[str], app: ASGIApp) -> ASGIApp:
    """Return the application with the answers that browsers need to let pages of `origins` use it."""
    return CORSMiddleware(
        app,
        allow_origins=sorted(origins),
        allow_methods=("GET", "POST", "PATCH", "DELETE"),
        allow_headers=SENT,
        expose_headers=READ,
        max_age=PREFLIGHT_SECONDS,
    )
