"""`--check`: the run as a history, judged by the checker of the fault tests too."""

from tests.concurrency.aftermath import appointment_id
from tests.concurrency.clauses import Clause, Finding, expiry
from tests.concurrency.operations import Answer, Operation, Run
from tests.faults import checker, history


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
        resources=tuple(sorted(ask.resources)),
        slot=ask.slot,
        patient=ask.patient,
        key=None,
        token=ask.body.get("holdToken"),
        invoked=operation.invoked,
        returned=operation.returned,
        outcome=_outcome(operation.answer),
        status=operation.answer.status,
        error=operation.answer.error,
        appointment_id=str(ask.body["id"]) if ask.kind == "get" else appointment_id(operation),
        expires=expiry(run, operation),
    )


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
