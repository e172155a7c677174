"""Read the headers that condition a change: `Idempotency-Key` and `If-Match`."""

import re
from collections.abc import Callable
from typing import Any

from gateway.http.body import Headers
from shared.contract.errors import InvalidRequest
from shared.contract.headers import IDEMPOTENCY_KEY, IF_MATCH
from shared.contract.operation import Call, Operation
from shared.contract.parsing import read_key

PRECONDITIONS = {name.lower().encode(): name for name in (IDEMPOTENCY_KEY, IF_MATCH)}
"""The names of the headers, by their lower-case names in ASGI."""
_VERSION = re.compile(r'"([1-9][0-9]{0,17})"')
_VERSION_FIELD = "ifVersion"


def header_fields(operation: Operation[Any, Any], call: Call) -> dict[str, str]:
    """Map the precondition headers that a call accepts to the fields of its command."""
    fields = {IDEMPOTENCY_KEY: operation.key} if call.key and operation.key else {}
    if _VERSION_FIELD in operation.command.model_fields:
        fields[IF_MATCH] = _VERSION_FIELD
    return fields


def refuse_others(preconditions: Headers, accepted: dict[str, str]) -> None:
    """Refuse a precondition that the call does not accept, because its sender relies on it.

    Args:
        preconditions: the headers of a request that are in `PRECONDITIONS`.
        accepted: the result of `header_fields`.

    Raises:
        InvalidRequest
    """
    for header, _ in preconditions:
        if (name := PRECONDITIONS[header]) not in accepted:
            raise InvalidRequest(f"{name} is not accepted here")


def read_preconditions(preconditions: Headers, accepted: dict[str, str]) -> dict[str, Any]:
    """Return the fields of a command that its preconditions set; arguments as for `refuse_others`.

    Raises:
        InvalidRequest: a header is repeated or has a wrong value.
    """
    read: dict[str, Any] = {}
    for header, value in preconditions:
        name = PRECONDITIONS[header]
        field = accepted[name]
        if field in read:
            raise InvalidRequest(f"{name} was sent more than once")
        read[field] = _READERS[name](value.decode("latin-1"))
    return read


def _read_version(value: str) -> int | None:
    """Return the version that the appointment must have, or None for `*`: any version.

    Raises:
        InvalidRequest: `If-Match` is neither one strong entity tag of a version nor `*`.
    """
    if value.strip() == "*":
        return None
    version = _VERSION.fullmatch(value.strip())
    if version is None:
        raise InvalidRequest(f'{IF_MATCH} must be * or one version in double quotes, such as "5"')
    return int(version[1])


_READERS: dict[str, Callable[[str], str | int | None]] = {IDEMPOTENCY_KEY: read_key, IF_MATCH: _read_version}
