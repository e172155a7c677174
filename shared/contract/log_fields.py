"""By what a log line of a refused command is found: what was validated, and never a name."""

from typing import Any

from .fields import is_uuid
from .instants import format_instant


def log_fields(command: object) -> dict[str, Any]:
    """The site, resources, slot and appointment id of a command, as far as it has them."""
    said = getattr(command, "__dict__", {})  # to miss an attribute of a pydantic model is dear
    found = {field: said[field] for field in ("site", "resource", "resources") if said.get(field)}
    if slot := said.get("slot"):
        found["slot"] = format_instant(slot)
    appointment_id = said.get("id")
    if isinstance(appointment_id, str) and is_uuid(appointment_id):  # any other text could be a name
        found["appointment_id"] = appointment_id.lower()
    return found
