"""The names of headers, the same over HTTP and NATS, and request ids.

A request has the same id in the gateway, on NATS and in the worker's logs.
"""

import re
from secrets import token_hex

APPOINTMENT_TOKEN = "Appointment-Token"  # noqa: S105 - the name of a header
ASKED_AT = "Asked-At"
CALLER = "Caller"
DEADLINE = "Deadline"
ERASED = "Appointment-Erased"
ERROR_TYPE = "Error-Type"
ETAG = "ETag"
IDEMPOTENCY_KEY = "Idempotency-Key"
IF_MATCH = "If-Match"
REPLAYED = "Idempotency-Replayed"
REQUEST_ID = "X-Request-Id"
RATE_LIMIT = "RateLimit"
RATE_LIMIT_POLICY = "RateLimit-Policy"
RETRY_AFTER = "Retry-After"
AUTHENTICATE = "WWW-Authenticate"

# Hexadecimal only: an id is logged, and free text could carry a patient's name into the logs.
_ID = re.compile(r"[0-9A-Fa-f-]{8,64}")


def is_request_id(value: object) -> bool:
    """Return whether `value` is a request id: 8 to 64 hexadecimal digits and dashes."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def accept_request_id(value: str | None) -> str:
    """Return the caller's request id if it is valid, otherwise a new one."""
    return value if value and is_request_id(value) else token_hex(16)


def etag_of(version: int) -> str:
    """Return the entity tag of a version of an appointment."""
    return f'"{version}"'
