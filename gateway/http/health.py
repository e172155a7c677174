"""The health checks of the gateway: liveness, readiness and metrics."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.datastructures import State

from gateway.docs.parts import REQUEST_ID_REFERENCE, by_reference, header, success
from shared.client.command_client import CommandClient
from shared.contract.errors import MethodNotAllowed, TooLarge, TooSlow, UriTooLong
from shared.contract.headers import REQUEST_ID, RETRY_AFTER
from shared.contract.operations import BOOKING_READY, HOLD_READY
from shared.contract.replies import OK, Readiness
from shared.contract.version import VERSION
from shared.process import metrics

HEALTH = {"/livez", "/readyz", "/metrics"}
ANSWER_SECONDS = 1.0
UNKNOWN = "cannot be asked"
Answers = tuple[str | None, list[Readiness], list[Readiness]]
"""The problem with NATS, and the readiness of the booking workers and of the hold workers."""
CHECKS = {"nats": OK, "booking_worker": "ok, 2 of 2 ready", "hold_worker": "ok, 2 of 2 ready"}
READY: dict[str, object] = {"ready": True, "checks": CHECKS}
# Parts of every description.
EXTRA = {
    "parameters": [REQUEST_ID_REFERENCE],
    "responses": by_reference(MethodNotAllowed, TooSlow, TooLarge, UriTooLong),
}
router = APIRouter(tags=["health"])


@router.get(
    "/livez",
    operation_id="isAlive",
    summary="Ask whether the process lives",
    responses={200: success({"alive": True})},
    openapi_extra=EXTRA,
)
async def livez() -> dict[str, bool]:
    """Answer while the process runs."""
    return {"alive": True}


@router.get(
    "/readyz",
    operation_id="isReady",
    summary="Ask whether bookings can be passed on",
    response_model=Readiness,
    responses={
        200: success(READY),
        503: {
            **success({"ready": False, "checks": {**CHECKS, "hold_worker": "no worker answers"}}),
            "model": Readiness,
            "description": "Not ready: `checks` says why.",
            "headers": {name: header(name) for name in (REQUEST_ID, RETRY_AFTER)},
        },
    },
    openapi_extra=EXTRA,
)
async def readyz(request: Request) -> Response:
    """Check that NATS is connected and that at least one worker of each kind can serve.

    Without Redis the gateway stays ready, because bookings continue; `checks` names the problem.
    """
    readiness = await ask_readiness(request.app.state)
    return Response(
        readiness.model_dump_json(),
        200 if readiness.ready else 503,
        {} if readiness.ready else {RETRY_AFTER: "1"},
        media_type="application/json",
    )


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Read what the process measures",
    response_class=PlainTextResponse,
    responses={
        200: success(
            f'booking_build_info{{service="gateway",version="{VERSION}",python="3.13.1"}} 1.0\n', "text/plain"
        )
    },
    openapi_extra=EXTRA,
)
async def get_metrics() -> Response:
    """Return the metrics of this process in the text format of Prometheus."""
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)


async def ask_readiness(state: State) -> Readiness:
    """Return whether a booking can reach NATS and the workers, and the state of these parts."""
    nats_problem, booking, hold = await _ask_together(state)
    checks = {
        "nats": nats_problem or OK,
        "booking_worker": UNKNOWN if nats_problem else _describe(booking),
        "hold_worker": UNKNOWN if nats_problem else _describe(hold),
    }
    ready = nats_problem is None and all(any(map(_serves, kind)) for kind in (booking, hold))
    return Readiness(ready=ready, checks=checks)


async def _ask_together(state: State) -> Answers:
    """Ask NATS and the workers once for all concurrent requests."""
    client: CommandClient = state.client
    asking: asyncio.Future[Answers] | None = getattr(state, "asking", None)
    if asking is None or asking.done():
        asking = state.asking = asyncio.gather(
            client.readiness.ask_nats(ANSWER_SECONDS),
            client.readiness.ask_workers(BOOKING_READY.subject, seconds=ANSWER_SECONDS, enough=_serves),
            client.readiness.ask_workers(HOLD_READY.subject, seconds=ANSWER_SECONDS, enough=_serves),
        )
    return await asyncio.shield(asking)


def _serves(worker: Readiness) -> bool:
    return worker.checks.get("mongodb") == OK


def _describe(workers: Sequence[Readiness]) -> str:
    """Return how many of the workers that answered are ready, and every problem once."""
    if not workers:
        return "no worker answers"
    ready = sum(worker.ready for worker in workers)
    count = f"{ready} of {len(workers)} ready"
    wrong = {
        f"{part}: {state}": None for worker in workers for part, state in worker.checks.items() if state != OK
    }
    return "; ".join([count, *wrong]) if wrong else f"{OK}, {count}"
