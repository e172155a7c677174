"""The log fields of a refused command: validated values only, never a name."""

from typing import Any

from .fields import is_uuid
from .instants import format_instant


def log_fields(command: object) -> dict[str, Any]:
    """Return the site, resources, slot and appointment id of a command, if it has them."""
    values = getattr(command, "__dict__", {})  # an absent attribute of a pydantic model is slow to look up
    found = {field: values[field] for field in ("site", "resource", "resources") if values.get(field)}
    if slot := values.get("slot"):
        found["slot"] = format_instant(slot)
    appointment_id = values.get("id")
    if isinstance(appointment_id, str) and is_uuid(appointment_id):  # other text could be a name
        found["appointment_id"] = appointment_id.lower()
    return found
