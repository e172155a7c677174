"""Preconditions of changes: the version that a booking must have (`ifVersion`, over HTTP `If-Match`)."""

from collections.abc import Iterable
from typing import Protocol


class Conditional(Protocol):
    """A request to change the booking `id` if it has the version `if_version` (None: any)."""

    @property
    def id(self) -> str: ...

    @property
    def if_version(self) -> int | None: ...


def known_versions(requests: Iterable[Conditional]) -> dict[str, int]:
    """Return, by booking id, the latest version that a caller has seen: a read must not be older."""
    versions: dict[str, int] = {}
    for request in requests:
        if request.if_version is not None:
            versions[request.id] = max(request.if_version, versions.get(request.id, 0))
    return versions
