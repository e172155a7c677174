"""Keep the service of a booking, as its schedule had it when it was booked."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BookedService:
    """A service by its id, with the minutes before and after the appointment that its claims cover too.

    A later change of the schedule leaves it as it is.
    """

    id: str
    before: int = 0
    after: int = 0

    def to_document(self) -> dict[str, Any]:
        return {"service": self.id, "bufferBefore": self.before, "bufferAfter": self.after}

    @classmethod
    def from_document(cls, row: dict[str, Any]) -> "BookedService | None":
        """Return the service of a row or of a history entry; None if it has none.

        Raises:
            KeyError, TypeError: this service did not write the row.
        """
        if row.get("service") is None:
            return None
        id_, before, after = row["service"], row["bufferBefore"], row["bufferAfter"]
        if not (isinstance(id_, str) and isinstance(before, int) and isinstance(after, int)):
            raise TypeError("service")
        return cls(id_, before, after)


def fields_of(service: BookedService | None) -> dict[str, Any]:
    """Return the fields of a booking's service that callers see. Buffers of 0 are absent."""
    if service is None:
        return {}
    return {name: value for name, value in service.to_document().items() if value}
