"""Hooks for schemathesis: they make a generated request obey the rules that OpenAPI cannot express."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

WINDOW = timedelta(days=1)
MOST_CHARACTERS = 200


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Adapt a request that fits its schema to this deployment."""
    if case.meta is None:
        return
    if case.meta.generation.mode is not GenerationMode.POSITIVE:
        _keep_too_long(case.body)
        return
    if isinstance(case.body, dict):
        case.body = _adapted(case, case.body)
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


def _adapted(case: Case[Any], body: dict[str, Any]) -> dict[str, Any]:
    """Return a body that this deployment accepts."""
    # The grid has 0 minutes: there are neither durations nor services.
    body = {name: _whole(value) for name, value in body.items() if name not in ("durationMinutes", "service")}
    if case.method == "PATCH":
        if {"patientName", "attendance"} & body.keys():
            case.headers.pop("Idempotency-Key", None)  # an amendment takes no key
            return {"attendance": "arrived"}
        body["slot"] = "2030-01-07T10:30:00.000Z"  # a move must change something
    if "url" in body:
        body["url"] = "http://127.0.0.1:9/hook"  # a host that can be resolved
    if "timeZone" in body:  # a zone of the data, and hours in order
        hours: list[Any] = [{"days": ["mon"], "from": "09:00", "to": "12:00"}]
        body |= {"timeZone": "Europe/Berlin", "weekly": hours, "exceptions": [], "services": []}
    return body


def _keep_too_long(body: Any) -> None:
    """Make a text that is too long so without its ends: the service removes invisible ones first."""
    for field in ("patientName", "contact"):
        text = body.get(field) if isinstance(body, dict) else None
        if isinstance(text, str) and len(text) > MOST_CHARACTERS:
            body[field] = "x" * (MOST_CHARACTERS + 1)


def _whole(value: Any) -> Any:
    """Write a whole number without a fraction: JSON Schema counts 15.0 as whole, and the service does not."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
