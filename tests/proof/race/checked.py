"""`--check`: the run as a history, judged by the checker of the fault tests too."""

from dataclasses import replace
from typing import Any

from tests.proof import checker
from tests.proof.faults import history
from tests.proof.faults.places import Standing
from tests.proof.faults.recorder import standing
from tests.proof.race.aftermath import appointment_id
from tests.proof.race.clauses import Clause, Finding, expiry
from tests.proof.race.operations import Answer, Operation, Run


def check_run(run: Run) -> tuple[Finding, ...]:
    """What the checker finds: histories that no single owner of a claim explains, and holds broken."""
    operations = tuple(_record(run, operation) for operation in run.operations)
    rows = {row.id: row for operation in run.operations if (row := _read_back(run, operation))}
    verdict = checker.check(history.History(operations, tuple(rows.values())))
    return tuple(Finding(Clause.LINEARIZABLE, each.slot, str(each)) for each in verdict.violations)


def _record(run: Run, operation: Operation) -> history.Operation:
    ask = operation.ask
    return history.Operation(
        number=ask.ordinal,
        client=ask.patient or "reader",
        kind=ask.kind,
        via=ask.via,
        site=run.site,
        resources=tuple(sorted(ask.resources)) or ((ask.body["resource"],) if "resource" in ask.body else ()),
        slot=ask.slot,
        patient=ask.patient,
        key=None,
        token=ask.body.get("holdToken"),
        invoked=operation.invoked,
        returned=operation.returned,
        outcome=_outcome(operation.answer),
        status=operation.answer.status,
        error=operation.answer.error,
        appointment_id=ask.body.get("id") or appointment_id(operation),
        expires=expiry(run, operation),
        until=str(ask.body.get("to", "")),
        told=_told(operation),
        listed=tuple(
            (each["id"], _without_length(standing(each)))
            for each in _part(operation, "appointments")
            if ask.kind == "list"
        ),
        taken=tuple((each["slot"], each["state"]) for each in _part(operation, "taken")),
    )


def _told(operation: Operation) -> Standing | None:
    match operation.answer.body:
        case {"appointment": {"resources": list(), "slot": str(), "status": str()} as appointment}:
            return _without_length(standing(appointment))
        case _:
            return None


def _without_length(told: Standing) -> Standing:
    """Each slot of a run is far from all others, so that how long it is says nothing."""
    return replace(told, place=replace(told.place, minutes=None))


def _part(operation: Operation, name: str) -> list[dict[str, Any]]:
    part = (operation.answer.body or {}).get(name)
    return part if isinstance(part, list) else []


def _outcome(answer: Answer) -> history.Outcome:
    return "ok" if answer.outcome == "done" else answer.outcome


def _read_back(run: Run, operation: Operation) -> history.Row | None:
    match operation.answer.body:
        case {"appointment": {"id": str(id), "patientName": str(patient), "status": str(status)} as told}:
            resources = told.get("resources", ())
            # The key is not told to callers; each booking of a run has one of its own.
            return history.Row(id, run.site, tuple(resources), operation.ask.slot, patient, id, status)
        case _:
            return None
