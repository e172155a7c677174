"""Remove safeguards of access over HTTP, which gateways have."""

from typing import Any

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
