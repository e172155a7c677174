"""The whole run as JSON: the verdict, the figures and every request with its times."""

import json
from pathlib import Path

from tests.proof.race.addresses import shown
from tests.proof.race.clauses import Finding
from tests.proof.race.figures import Outcomes, outcomes, race_of, raced, speed
from tests.proof.race.operations import Json, Operation, Run
from tests.proof.race.options import Options
from tests.proof.race.verdict import Verdict


def write_record(path: Path, options: Options, run: Run, verdict: Verdict) -> None:
    path.write_text(json.dumps(_record(options, run, verdict), indent=2) + "\n", encoding="utf-8")


def _record(options: Options, run: Run, verdict: Verdict) -> Json:
    figures = speed(run)
    races = sorted({race_of(operation) for operation in run.operations})
    return {
        "proved": verdict.proved,
        "violations": [_finding(finding) for finding in verdict.violations],
        "options": {
            "url": shown(options.url),
            "nats": shown(options.nats) if "nats" in options.transports else None,
            "requests": options.requests,
            "slots": options.slots,
            "resources": options.resources,
            "via": options.via,
            "holds": options.holds,
            "timeout": options.timeout,
        },
        "site": run.site,
        "resources": run.resources,
        "beganAt": run.began_at.isoformat(timespec="milliseconds"),
        "raceSeconds": round(run.race_seconds, 6),
        "requestsPerSecond": round(figures.requests_per_second, 1),
        "latencyMs": {
            "p50": round(figures.p50_ms, 3),
            "p95": round(figures.p95_ms, 3),
            "max": round(figures.max_ms, 3),
        },
        "totals": _outcomes(outcomes(raced(run))),
        "races": [
            {"slot": slot, "round": round, **_outcomes(outcomes(raced(run, (slot, round))))}
            for slot, round in races
        ],
        "requests": [_request(operation) for operation in run.operations],
    }


def _outcomes(race: Outcomes) -> Json:
    return {
        "requests": race.requests,
        "confirmed": race.confirmed,
        "held": race.granted,
        "alreadyBooked": race.already_booked,
        "currentlyHeld": race.currently_held,
        "other": race.other,
        "unanswered": race.unanswered,
    }


def _finding(finding: Finding) -> Json:
    return {"clause": finding.clause.value, "slot": finding.slot, "text": finding.text}


def _request(operation: Operation) -> Json:
    """One request; `start` and `end` are monotonic seconds since the run began."""
    ask, answer = operation.ask, operation.answer
    return {
        "ordinal": ask.ordinal,
        "requestId": ask.request_id,
        "round": ask.round,
        "step": ask.step,
        "kind": ask.kind,
        "via": ask.via,
        "slot": ask.slot,
        "request": ask.body,
        "status": answer.status,
        "outcome": answer.outcome,
        "error": answer.error,
        "body": answer.body,
        "start": round(operation.invoked, 6),
        "end": round(operation.returned, 6),
        "ms": round(operation.milliseconds, 3),
    }
