"""One log line a request."""

import time

import structlog
from starlette.types import Scope

from gateway.health import HEALTH

log = structlog.get_logger()


def log_answer(scope: Scope, status: int | None, started: float) -> None:
    """Log what a request got; `started` is of `time.perf_counter`."""
    # The route's template, not the path: what a caller types into a URL may be a name.
    route = getattr(scope.get("route"), "path", None)
    level = log.debug if route in HEALTH else log.info
    ms = round((time.perf_counter() - started) * 1000, 1)
    level("answered", method=scope["method"], route=route, status=status, ms=ms)
