"""How a command is repeated within its caller's patience. Its key or token makes that safe."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from ..contract.errors import BeingBooked, NobodyThere, NoPrimary, NotExecuted, OutcomeUnknown, Refused
from .statistics import Statistics

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.1
# Where all are asking at once, because there is too much to do, they must not add much to that.
LONGEST_PAUSE_SECONDS = 0.5

ReplyT = TypeVar("ReplyT")
log = structlog.get_logger()


async def attempt_repeatedly(
    subject: str,
    attempt: Callable[[float, bool], Awaitable[ReplyT]],
    patience: float,
    statistics: Statistics,
) -> ReplyT:
    """Attempt a command up to three times, a third of the patience (in seconds) each, never two at once.

    The next attempt waits until the deadline of the one before has passed, so that no two are ever under
    way together. Those that reach nobody do not count: they go on until there is time for one only.

    Raises:
        Refused: as the worker says: a 4xx is final, whatever was sent before. 503 only if no attempt can have
            been executed.
    """
    seconds, pause = patience / ATTEMPTS, FIRST_PAUSE_SECONDS
    spare = ATTEMPTS - 1.0  # what is left beside the attempt that is under way, in attempts
    unknown: OutcomeUnknown | None = None
    while True:
        started, spent, became = time.monotonic(), 1.0, "cancelled"
        try:
            reply = await attempt(seconds, unknown is not None)
            became = "answered"
            return reply
        except (NobodyThere, BeingBooked) as error:
            became = "nobody_there" if isinstance(error, NobodyThere) else "not_executed"
            failure: Refused = unknown or error
            spent = min(spare, (time.monotonic() - started + pause) / seconds)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        except NoPrimary as error:
            became = "not_executed"
            failure = unknown or error  # one may be elected in the caller's time
        except NotExecuted:
            became = "not_executed"
            if unknown is None:
                raise
            failure = unknown  # the next attempt may hear what became of it
        except OutcomeUnknown as error:
            became = "unknown"
            failure = unknown = error
            log.warning("attempt_unanswered", subject=subject)
        except Refused:
            became = "answered"
            raise
        finally:
            statistics.attempts[subject, became] += 1
        if spare <= 0 or spent > spare:
            raise failure
        spare -= spent
        await asyncio.sleep(max(0, started + spent * seconds - time.monotonic()))
