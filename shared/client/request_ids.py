"""The ids of requests, which logs and messages share."""

import structlog

from ..contract.headers import REQUEST_ID, is_request_id


def bound_request_id() -> str | None:
    """Return the `request_id` of the log context, or None if it is not a valid id.

    Only valid ids are returned, because they are inserted into messages without escaping.
    """
    bound = structlog.contextvars.get_contextvars().get("request_id")
    return str(bound) if is_request_id(str(bound)) else None


def request_id_header() -> dict[str, str]:
    """Return the header `X-Request-Id` of a message, or no header without a bound request id."""
    return {REQUEST_ID: request_id} if (request_id := bound_request_id()) else {}
