"""Fresh slots: no two tests, and no two runs, ever ask for the same one."""

from itertools import count
from typing import Any
from uuid import uuid4

_RUN = uuid4().hex[:12]
_number = count()


def fresh_site() -> str:
    """A site that nobody has used."""
    return f"{_RUN}-{next(_number)}"


def fresh(patient: str = "Ada Lovelace", **more: Any) -> dict[str, Any]:
    """The body of a request for a slot that nobody has asked for."""
    return {"slot": "2031-05-04T09:00:00Z", "patientName": patient, "site": fresh_site(), **more}
