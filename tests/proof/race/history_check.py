"""`--check`: convert the run into a history and judge it with the checker of the fault tests."""

from dataclasses import replace
from typing import Any

from tests.proof import checker
from tests.proof.faults import history
from tests.proof.faults.places import BookingState
from tests.proof.faults.recorder import booking_state
from tests.proof.race.aftermath import appointment_id
from tests.proof.race.clauses import Clause, Finding, expiry
from tests.proof.race.exchanges import Exchange, Run


def check_run(run: Run) -> tuple[Finding, ...]:
    """Return a finding for every violation that the checker finds."""
    operations = tuple(_operation(run, exchange) for exchange in run.exchanges)
    rows = {row.id: row for exchange in run.exchanges if (row := _row(run, exchange))}
    verdict = checker.check(history.History(operations, tuple(rows.values())))
    return tuple(
        Finding(Clause.LINEARIZABLE, violation.slot, str(violation)) for violation in verdict.violations
    )


def _operation(run: Run, exchange: Exchange) -> history.Operation:
    request, reply = exchange.request, exchange.reply
    resources = tuple(sorted(request.resources))
    return history.Operation(
        number=request.ordinal,
        client=request.patient or "reader",
        kind=request.kind,
        via=request.via,
        site=run.site,
        resources=resources or ((request.body["resource"],) if "resource" in request.body else ()),
        slot=request.slot,
        patient=request.patient,
        key=None,
        token=request.body.get("holdToken"),
        invoked=exchange.invoked,
        returned=exchange.returned,
        outcome=reply.outcome,
        status=reply.status,
        error=reply.error,
        appointment_id=request.body.get("id") or appointment_id(exchange),
        expires=expiry(run, exchange),
        until=str(request.body.get("to", "")),
        told=_told(exchange),
        listed=tuple(
            (entry["id"], _without_length(booking_state(entry)))
            for entry in _entries(exchange, "appointments")
            if request.kind == "list"
        ),
        taken=tuple((entry["slot"], entry["state"]) for entry in _entries(exchange, "taken")),
    )


def _told(exchange: Exchange) -> BookingState | None:
    match exchange.reply.body:
        case {"appointment": {"resources": list(), "slot": str(), "status": str()} as appointment}:
            return _without_length(booking_state(appointment))
        case _:
            return None


def _without_length(told: BookingState) -> BookingState:
    """Drop the duration: the slots of a run are days apart, so it decides nothing."""
    return replace(told, place=replace(told.place, minutes=None))


def _entries(exchange: Exchange, name: str) -> list[dict[str, Any]]:
    entries = (exchange.reply.body or {}).get(name)
    return entries if isinstance(entries, list) else []


def _row(run: Run, exchange: Exchange) -> history.Row | None:
    match exchange.reply.body:
        case {"appointment": {"id": str(id), "patientName": str(patient), "status": str(status)} as told}:
            resources = told.get("resources", ())
            # Answers do not carry the key; each booking of a run has a key of its own, so its id stands in.
            return history.Row(id, run.site, tuple(resources), exchange.request.slot, patient, id, status)
        case _:
            return None
