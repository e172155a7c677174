"""Write the run as JSON: the verdict, the figures and every request with its times."""

import json
from pathlib import Path

from tests.proof.race.addresses import shown
from tests.proof.race.clauses import Finding
from tests.proof.race.exchanges import Exchange, Json, Run
from tests.proof.race.figures import AnswerCounts, count_answers, race_of, raced, speed
from tests.proof.race.options import Options
from tests.proof.race.verdict import RaceVerdict


def write_record(path: Path, options: Options, run: Run, verdict: RaceVerdict) -> None:
    path.write_text(json.dumps(_record(options, run, verdict), indent=2) + "\n", encoding="utf-8")


def _record(options: Options, run: Run, verdict: RaceVerdict) -> Json:
    figures = speed(run)
    races = sorted({race_of(exchange) for exchange in run.exchanges})
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
        "totals": _counts(count_answers(raced(run))),
        "races": [
            {"slot": slot, "round": round, **_counts(count_answers(raced(run, (slot, round))))}
            for slot, round in races
        ],
        "requests": [_request(exchange) for exchange in run.exchanges],
    }


def _counts(race: AnswerCounts) -> Json:
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


def _request(exchange: Exchange) -> Json:
    """One request; `start` and `end` are monotonic seconds since the run began."""
    request, reply = exchange.request, exchange.reply
    return {
        "ordinal": request.ordinal,
        "requestId": request.request_id,
        "round": request.round,
        "step": request.step,
        "kind": request.kind,
        "via": request.via,
        "slot": request.slot,
        "request": request.body,
        "status": reply.status,
        "outcome": reply.outcome,
        "error": reply.error,
        "body": reply.body,
        "start": round(exchange.invoked, 6),
        "end": round(exchange.returned, 6),
        "ms": round(exchange.milliseconds, 3),
    }
