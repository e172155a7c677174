"""The verdict: what a run's operations prove, and each way in which they fail to."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.proof.race import holds
from tests.proof.race.aftermath import appointment_id
from tests.proof.race.clauses import BOOKED, HELD, Clause, Finding, SlotHistory, refused_with, wanted
from tests.proof.race.operations import Operation, Run, tally

Rule = Callable[[SlotHistory], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Verdict:
    violations: tuple[Finding, ...]

    @property
    def proved(self) -> bool:
        return not self.violations


def judge(run: Run) -> Verdict:
    """Judge every race for a slot, and what came of it, by itself."""
    races: dict[tuple[str, int], list[Operation]] = defaultdict(list)
    for operation in run.operations:
        races[operation.ask.slot, operation.ask.round].append(operation)
    histories = [SlotHistory(run, slot, operations) for (slot, _), operations in sorted(races.items())]
    violations = [finding for history in histories for rule in RULES for finding in rule(history)]
    return Verdict(tuple(violations))


def one_winner(history: SlotHistory) -> Iterator[Finding]:
    """At most one booking of a resource is confirmed, and at least one in the race, not to a latecomer."""
    for resource in history.run.resources:
        winners = [winner for winner in history.confirmed if resource in winner.ask.resources]
        if len(winners) > 1:
            ways = Counter(winner.ask.via for winner in winners)
            how = ", ".join(f"{count} via {via}" for via, count in sorted(ways.items()))
            of = f" of {resource}" if len(history.run.resources) > 1 else ""
            text = f"{len(winners)} bookings{of} confirmed, at most 1 may be ({how})"
            yield history.find(history.winning, text)
    in_time = [winner for winner in history.confirmed if winner.ask.step != "late"]
    if not in_time and not history.unknown:
        asked = history.of("race")
        text = f"no booking confirmed in the race of {len(asked)} requests ({tally(asked)})"
        yield history.find(history.winning, text)


def confirms_what_was_asked(history: SlotHistory) -> Iterator[Finding]:
    for winner in history.confirmed:
        body = winner.answer.body or {}
        appointment = body.get("appointment")
        expected = {
            **wanted(winner),
            "patientName": winner.ask.patient,
            "status": "booked",
        }
        wrong = [
            field
            for field, value in expected.items()
            if not isinstance(appointment, dict) or appointment.get(field) != value
        ]
        wrong += ["id"] if appointment_id(winner) is None else []
        wrong += ["message"] if body.get("message") != "Booking confirmed" else []
        if wrong:
            yield history.find(history.winning, f"the confirmation is wrong in {', '.join(wrong)}")


def refusals_have_the_right_text(history: SlotHistory) -> Iterator[Finding]:
    texts = (BOOKED, HELD) if history.holds_raced else (BOOKED,)
    wrong = [
        operation
        for operation in history.of("race")
        if operation.answer.answered
        and not (operation.confirmed or operation.granted)
        and not any(refused_with(operation, text) for text in texts)
    ]
    if wrong:
        yield history.find(Clause.REFUSED, f"no proper refusals: {len(wrong)} ({tally(wrong)})")


def refusals_are_true(history: SlotHistory) -> Iterator[Finding]:
    """Nobody hears `Slot already booked` unless a rival can have booked, nor `held` once one has."""
    bookings = [
        *history.confirmed,
        *(operation for operation in history.unknown if operation.ask.kind == "book"),
    ]
    phantom = [
        operation
        for operation in history.operations
        if refused_with(operation, BOOKED)
        and not any(
            booking.invoked < operation.returned and booking.rivals(operation) for booking in bookings
        )
    ]
    if phantom:
        yield history.find(Clause.REFUSED, f"'{BOOKED}' though nobody had booked: {len(phantom)}")
    outdated = [
        operation
        for operation in history.operations
        if refused_with(operation, HELD)
        and any(
            booking.returned < operation.invoked and booking.rivals(operation)
            for booking in history.confirmed
        )
    ]
    if outdated:
        yield history.find(Clause.REFUSED, f"'{HELD}' though it was booked: {len(outdated)}")


def all_answered(history: SlotHistory) -> Iterator[Finding]:
    silent = [operation for operation in history.operations if not operation.answer.answered]
    if silent:
        total = len(history.operations)
        yield history.find(Clause.ANSWERED, f"{len(silent)} of {total} not answered ({tally(silent)})")


def late_is_refused(history: SlotHistory) -> Iterator[Finding]:
    late = history.of("late")
    if not late:
        yield history.find(Clause.LATE, "nobody asked late")
    if all(winner.ask.step == "late" for winner in history.confirmed):
        return
    wrong = [request for request in late if request.answer.answered and not refused_with(request, BOOKED)]
    if wrong:
        yield history.find(
            Clause.LATE, f"late requests not refused as they must be: {len(wrong)} ({tally(wrong)})"
        )


def winner_reads_back(history: SlotHistory) -> Iterator[Finding]:
    for winner in history.confirmed:
        known = appointment_id(winner)
        reads = [operation for operation in history.of("read") if operation.ask.body["id"] == known]
        if not reads:
            yield history.find(Clause.READ_BACK, f"the booking of {winner.ask.patient} was not read back")
        expected = {"appointment": (winner.answer.body or {}).get("appointment")}
        wrong = [
            read
            for read in reads
            if read.answer.answered and (read.answer.status != 200 or read.answer.body != expected)
        ]
        for read in wrong:
            found = "another appointment" if read.answer.status == 200 else str(read.answer)
            text = f"the booking of {winner.ask.patient}, read via {read.ask.via}, gives {found}"
            yield history.find(Clause.READ_BACK, text)


def cancelled_is_free(history: SlotHistory) -> Iterator[Finding]:
    """A cancel is confirmed as such, and in the end nothing is taken."""
    for cancel in (each for each in history.of("cancel") if each.answer.answered):
        body = cancel.answer.body or {}
        match cancel.answer.status, body.get("message"), body.get("appointment"):
            case 200, "Booking cancelled", {"id": id, "status": "cancelled"} if id == cancel.ask.body["id"]:
                continue
        yield history.find(Clause.FREED, f"a booking was cancelled, and the answer is {cancel.answer}")
    for asked in (each for each in history.of("free") if each.answer.answered):
        if (asked.answer.body or {}).get("taken") != []:
            yield history.find(Clause.FREED, f"all was cancelled, and yet not all is free ({asked.answer})")


RULES: tuple[Rule, ...] = (
    one_winner,
    confirms_what_was_asked,
    refusals_have_the_right_text,
    refusals_are_true,
    *holds.RULES,
    all_answered,
    late_is_refused,
    winner_reads_back,
    cancelled_is_free,
)
