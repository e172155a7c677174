"""One log line a request, and what metrics count of it."""

import time

import structlog
from starlette.types import Scope

from gateway.health import HEALTH
from gateway.metrics import count_answer

log = structlog.get_logger()


def log_answer(scope: Scope, status: int | None, started: float) -> None:
    """Log and count what a request got; `started` is of `time.perf_counter`."""
    # The route's template, not the path: what a caller types into a URL may be a name.
    route = getattr(scope.get("route"), "path", None)
    level = log.debug if route in HEALTH else log.info
    seconds = time.perf_counter() - started
    count_answer(scope["method"], route, status, seconds)
    ms = round(seconds * 1000, 1)
    level("answered", method=scope["method"], route=route, status=status, ms=ms)
