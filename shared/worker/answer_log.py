"""Log and count the answers to the commands of a message."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import structlog

from shared.contract.caller import ANYONE
from shared.contract.envelope import Reply
from shared.contract.errors import OutcomeUnknown, Refused
from shared.contract.headers import ERROR_TYPE
from shared.contract.log_fields import log_fields
from shared.process.logs import FrequentLine
from shared.worker.attempts import Attempt, Received
from shared.worker.metrics import count_answers

REFUSED = 400
FAILED = 500
"""From this status on, an answer is logged as a warning: not executed, or unknown."""

log = structlog.get_logger()


def record_answers(
    subject: str,
    received: Received[Any],
    outcomes: Sequence[Any],
    replies: Sequence[Reply[Any]],
    seconds: float,
    *,
    reads: bool,
) -> None:
    """Log one line for all executed commands, and one line per refused command, to search for.

    Args:
        subject: of the message.
        received: the commands.
        outcomes: of the commands, in order.
        replies: of the commands, in order.
        seconds: the time until they were decided.
        reads: whether the operation changes nothing.
    """
    count_answers(
        subject, Counter(reply.headers.get(ERROR_TYPE) or str(reply.status) for reply in replies), seconds
    )
    ids, ms, callers = received.request_ids, round(seconds * 1000, 1), _callers(received, reads=reads)
    done = [number for number, reply in enumerate(replies) if reply.status < REFUSED]
    if len(done) == 1:
        (only,) = done
        _answered(subject, replies[only].status).write(ms, ids[only], callers)
    elif done:
        statuses = dict(Counter(str(replies[number].status) for number in done))
        request_ids = [ids[number] for number in done]
        log.info("answered", request_ids=request_ids, subject=subject, statuses=statuses, ms=ms, **callers)
    if len(done) == len(replies):
        return
    for number, reply in enumerate(replies):
        if reply.status >= REFUSED:
            attempt, outcome = received.attempts[number], outcomes[number]
            fields = log_fields(attempt.command) if isinstance(attempt, Attempt) else {}
            kind = type(outcome) if isinstance(outcome, Refused) else OutcomeUnknown
            if reply.status < FAILED:
                _answered(subject, reply.status, kind.__name__).write(ms, ids[number], callers | fields)
                continue
            log.warning(
                "answered",
                request_id=ids[number],
                subject=subject,
                status=reply.status,
                ms=ms,
                error_type=kind.__name__,
                **callers | fields,
            )


def _callers(received: Received[Any], *, reads: bool) -> dict[str, Any]:
    """Return the log fields of the callers that have a key: their ids and, of a read, what was read."""
    known = [a for a in received.attempts if isinstance(a, Attempt) and a.caller is not ANYONE]
    if not known:
        return {}
    read = log_fields(known[0].command) if reads else {}
    return {"callers": sorted({attempt.caller.id for attempt in known}), **read}


@cache  # each argument is one of a few values
def _answered(subject: str, status: int, error_type: str | None = None) -> FrequentLine:
    refused = {"error_type": error_type} if error_type else {}
    return FrequentLine("answered", subject=subject, status=status, **refused)
