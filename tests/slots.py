"""Fresh slots, which no other test and no other run uses."""

from itertools import count
from typing import Any
from uuid import uuid4

_RUN = uuid4().hex[:12]
_number = count()


def fresh_site() -> str:
    """Return a site that is not used yet."""
    return f"{_RUN}-{next(_number)}"


def fresh(patient: str = "Ada Lovelace", **more: Any) -> dict[str, Any]:
    """Return the body of a request for a slot in a fresh site."""
    return {"slot": "2031-05-04T09:00:00Z", "patientName": patient, "site": fresh_site(), **more}
