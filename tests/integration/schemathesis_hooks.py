"""What OpenAPI cannot say of a valid request, for schemathesis: what has to be valid is made so."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

WINDOW = timedelta(days=1)


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Make a request that fits its schema fit the deployment too."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if isinstance(case.body, dict):
        case.body.pop("durationMinutes", None)  # there is no grid
    if case.method == "PATCH" and isinstance(case.body, dict):
        case.body["slot"] = "2030-01-07T10:30:00.000Z"  # a move changes something
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid4())  # another request has another key
    if "If-Match" in case.headers:
        case.headers["If-Match"] = "*"  # which version there is, a schema does not know
    if {"from", "to"} <= set(case.query):
        begins = datetime(2030, 1, 7, tzinfo=UTC)
        case.query.pop("cursor", None)  # it is not made up
        case.query |= {"from": begins.isoformat(), "to": (begins + WINDOW).isoformat()}
