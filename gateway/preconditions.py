"""Headers on which it depends whether a change is made: `Idempotency-Key` and `If-Match`."""

import re

from gateway.body import Headers, values
from shared.contract.errors import InvalidRequest
from shared.contract.headers import IDEMPOTENCY_KEY, IF_MATCH
from shared.contract.parsing import read_key

_VERSION = re.compile(r'"([1-9][0-9]{0,17})"')


def idempotency_key(headers: Headers) -> str | None:
    """The key that makes a repeat of the request safe, if it was sent.

    Raises:
        InvalidRequest
    """
    value = _only(headers, IDEMPOTENCY_KEY)
    return None if value is None else read_key(value)


def if_version(headers: Headers) -> int | None:
    """The version that the appointment must have; None if any will do.

    Raises:
        InvalidRequest: `If-Match` is neither one strong entity tag of a version nor `*`.
    """
    value = _only(headers, IF_MATCH)
    if value is None or value.strip() == "*":
        return None
    version = _VERSION.fullmatch(value.strip())
    if version is None:
        raise InvalidRequest(f'{IF_MATCH} must be * or one version in double quotes, such as "5"')
    return int(version[1])


def _only(headers: Headers, name: str) -> str | None:
    sent = values(headers, name)
    if len(sent) > 1:
        raise InvalidRequest(f"{name} was sent more than once")
    return sent[0].decode("latin-1") if sent else None
