"""By what a log line of a refused command is found: what was validated, and never a name."""

from typing import Any

from .fields import is_uuid
from .instants import format_instant


def log_fields(command: object) -> dict[str, Any]:
    """The site, resources, slot and appointment id of a command, as far as it has them."""
    found: dict[str, Any] = {}
    for field in ("site", "resource", "resources"):
        if value := getattr(command, field, None):
            found[field] = value
    if slot := getattr(command, "slot", None):
        found["slot"] = format_instant(slot)
    appointment_id = getattr(command, "id", None)
    if isinstance(appointment_id, str) and is_uuid(appointment_id):  # any other text could be a name
        found["appointment_id"] = appointment_id.lower()
    return found
