"""Remove safeguards of access over HTTP, which gateways have."""

from typing import Any

from starlette.datastructures import QueryParams

from gateway.access.access import Access
from gateway.access.identified import OPEN, Identified


def no_scopes() -> None:
    """Let every key make every call."""
    Identified.require = lambda *_: None  # type: ignore[method-assign]


def no_identification() -> None:
    """Take every caller for one that may do everything."""

    def identify(*_: Any) -> Identified:
        return OPEN

    Access.identify = identify  # type: ignore[assignment,method-assign]


def no_calendar_path() -> None:
    """Let the key of a calendar open every calendar."""

    def subscriber_of(access: Any, scope: Any) -> Identified:
        key: str = QueryParams(scope["query_string"])["key"]
        identified: Identified = access._keys.identify(key.encode())
        return identified

    Access._subscriber_of = subscriber_of  # type: ignore[assignment,method-assign]
