"""One log line a request, and what metrics count of it."""

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
"""Where a request's scope has the refusal that answers it."""
FAILED = 500

log = structlog.get_logger()


@cache  # all three are of a small set
def _answered(method: str, route: str | None, status: int | None) -> FrequentLine:
    return FrequentLine("answered", method=method, route=route, status=status)


def log_answer(scope: Scope, request_id: str, method: str, status: int | None, started: float) -> None:
    """Log and count what a request got; `started` is of `time.perf_counter`."""
    # The route's template, not the path: what a caller types into a URL may be a name. So may a method be.
    route = getattr(scope.get("route"), "path", None)
    method = method if method in METHODS else OTHER
    # Taken out: the refusal's traceback leads back to the scope, and to what receives the body. Until the
    # collector found that cycle, granian would keep a connection open whose body was not read to its end.
    refused: Refused | None = scope.pop(REFUSED, None)
    seconds = time.perf_counter() - started
    ms = round(seconds * 1000, 1)
    count_answer(method, route, status, seconds)
    if refused is None and route not in HEALTH:
        _answered(method, route, status).write(ms, request_id)
        return
    level = log.debug if route in HEALTH else log.info
    about: dict[str, Any] = {}
    if refused is not None:
        level = log.warning if refused.status >= FAILED else level
        about = {
            "error_type": type(refused).__name__,
            **log_fields(_Path(scope)),
            **log_fields(refused.command),
        }
    level("answered", method=method, route=route, status=status, ms=ms, request_id=request_id, **about)


class _Path:
    """What the path of a request names: it is known where the body could not be read."""

    def __init__(self, scope: Scope) -> None:
        self.id = scope.get("path_params", {}).get("id")
