"""Hooks for schemathesis: they make a generated request obey the rules that OpenAPI cannot express."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

WINDOW = timedelta(days=1)


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Adapt a request that fits its schema to this deployment."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if isinstance(case.body, dict):
        case.body.pop("durationMinutes", None)  # the grid has 0 minutes: no durations
    if case.method == "PATCH" and isinstance(case.body, dict):
        if not {"patientName", "attendance"} & case.body.keys():
            case.body["slot"] = "2030-01-07T10:30:00.000Z"  # a move must change something
        else:
            case.body = {"attendance": "arrived"}  # an amendment too, and it takes no key
            case.headers.pop("Idempotency-Key", None)
    if isinstance(case.body, dict) and "url" in case.body:
        case.body["url"] = "http://127.0.0.1:9/hook"  # a host that can be resolved
    if isinstance(case.body, dict) and "timeZone" in case.body:  # a zone of the data, and hours in order
        hours: list[Any] = [{"days": ["mon"], "from": "09:00", "to": "12:00"}]
        case.body |= {"timeZone": "Europe/Berlin", "weekly": hours, "exceptions": [], "services": []}
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid4())  # a different request needs a different key
    if "If-Match" in case.headers:
        case.headers["If-Match"] = "*"  # the schema does not know the current version
    case.query.pop("cursor", None)  # a cursor cannot be invented
    if case.path in ("/api/free-slots", "/api/next-free"):
        for name in ("service", "durationMinutes"):  # no schedule has the service, and the grid no durations
            case.query.pop(name, None)
        case.query.setdefault("resource", "dr-lee")
    if {"from", "to"} <= set(case.query):
        begins = datetime(2030, 1, 7, tzinfo=UTC)
        case.query |= {"from": begins.isoformat(), "to": (begins + WINDOW).isoformat()}
