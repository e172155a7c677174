"""Write one log line per request, and count it in the metrics."""

import time
from functools import cache
from typing import Any

import structlog
from starlette.types import Scope

from gateway.http.health import HEALTH
from gateway.http.metrics import METHODS, OTHER, count_answer
from shared.contract.errors import Refused
from shared.contract.log_fields import log_fields
from shared.process.logs import FrequentLine

REFUSED = "slotkeeper.refused"
"""The key under which a request's scope has the refusal that answers it."""
FAILED = 500

log = structlog.get_logger()


@cache  # each argument is one of a few values
def _answered(method: str, route: str | None, status: int | None, error_type: str | None) -> FrequentLine:
    refused = {"error_type": error_type} if error_type else {}
    return FrequentLine("answered", method=method, route=route, status=status, **refused)


def log_answer(
    scope: Scope, request_id: str, method: str, status: int | None, started: float, *, is_stream: bool = False
) -> None:
    """Log and count an answered request.

    Args:
        scope: the ASGI scope; this function removes `REFUSED` from it.
        request_id: the id of the request.
        method: as the caller sent it, for example HEAD.
        status: None if the response did not begin.
        started: the value of `time.perf_counter` at the request's head.
        is_stream: leave its time out of the histogram.
    """
    # Log the route's template, not the path, because a caller's path or method may contain a patient's name.
    route = getattr(scope.get("route"), "path", None)
    method = method if method in METHODS else OTHER
    # Remove the refusal from the scope: its traceback refers to the scope and to the receiver of the body. If
    # the body was not read completely, granian keeps the connection open until that receiver is released, and
    # with the cycle only the garbage collector would release it.
    refused: Refused | None = scope.pop(REFUSED, None)
    seconds = time.perf_counter() - started
    ms = round(seconds * 1000, 1)
    count_answer(method, route, status, None if is_stream else seconds)
    about: dict[str, Any] = {}
    error_type = None if refused is None else type(refused).__name__
    if refused is not None:
        about = log_fields(_Path(scope)) | log_fields(refused.command)
    failed = refused is not None and refused.status >= FAILED
    if not failed and route not in HEALTH:
        _answered(method, route, status, error_type).write(ms, request_id, about)
        return
    if error_type:
        about["error_type"] = error_type
    level = log.warning if failed else log.debug
    level("answered", method=method, route=route, status=status, ms=ms, request_id=request_id, **about)


class _Path:
    """The id in the path of a request, which is known even if the body is invalid."""

    def __init__(self, scope: Scope) -> None:
        self.id = scope.get("path_params", {}).get("id")
