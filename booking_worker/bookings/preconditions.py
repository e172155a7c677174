"""Preconditions of changes: the version that a booking must have (`ifVersion`, over HTTP `If-Match`)."""

from collections.abc import Iterable
from typing import Protocol


class Conditional(Protocol):
    """A command for the booking with this id, if it has the version `if_version` (None: any)."""

    @property
    def id(self) -> str: ...

    @property
    def if_version(self) -> int | None: ...


def known_versions(commands: Iterable[Conditional]) -> dict[str, int]:
    """The latest version that commands require of each booking: the booking has that, or a later one."""
    versions: dict[str, int] = {}
    for command in commands:
        if command.if_version is not None:
            versions[command.id] = max(command.if_version, versions.get(command.id, 0))
    return versions
