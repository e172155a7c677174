"""Judge the exchanges of a run, and name each clause that they violate."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.proof.race import holds
from tests.proof.race.aftermath import appointment_id
from tests.proof.race.clauses import BOOKED, HELD, Clause, Finding, SlotHistory, refused_with, wanted
from tests.proof.race.exchanges import Exchange, Run, tally

ClauseCheck = Callable[[SlotHistory], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class RaceVerdict:
    violations: tuple[Finding, ...]

    @property
    def proved(self) -> bool:
        return not self.violations


def judge(run: Run) -> RaceVerdict:
    """Judge every race for a slot separately, with the exchanges that followed it."""
    races: dict[tuple[str, int], list[Exchange]] = defaultdict(list)
    for exchange in run.exchanges:
        races[exchange.request.slot, exchange.request.round].append(exchange)
    histories = [SlotHistory(run, slot, exchanges) for (slot, _), exchanges in sorted(races.items())]
    violations = [finding for history in histories for rule in CHECKS for finding in rule(history)]
    return RaceVerdict(tuple(violations))


def one_winner(history: SlotHistory) -> Iterator[Finding]:
    """In the race, one booking of a resource is confirmed: not two, and not only a latecomer's."""
    for resource in history.run.resources:
        winners = [winner for winner in history.confirmed if resource in winner.request.resources]
        if len(winners) > 1:
            ways = Counter(winner.request.via for winner in winners)
            how = ", ".join(f"{count} via {via}" for via, count in sorted(ways.items()))
            of = f" of {resource}" if len(history.run.resources) > 1 else ""
            text = f"{len(winners)} bookings{of} confirmed, at most 1 may be ({how})"
            yield history.find(history.winning, text)
    in_time = [winner for winner in history.confirmed if winner.request.step != "late"]
    if not in_time and not history.unknown:
        asked = history.of("race")
        text = f"no booking confirmed in the race of {len(asked)} requests ({tally(asked)})"
        yield history.find(history.winning, text)


def confirms_what_was_asked(history: SlotHistory) -> Iterator[Finding]:
    """A confirmation has the requested site, resources, slot and patient."""
    for winner in history.confirmed:
        body = winner.reply.body or {}
        appointment = body.get("appointment")
        expected = {
            **wanted(winner),
            "patientName": winner.request.patient,
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
    """In the race, every request that does not succeed gets one of the two 409 texts."""
    texts = (BOOKED, HELD) if history.holds_raced else (BOOKED,)
    wrong = [
        exchange
        for exchange in history.of("race")
        if exchange.reply.answered
        and not (exchange.confirmed or exchange.granted)
        and not any(refused_with(exchange, text) for text in texts)
    ]
    if wrong:
        yield history.find(Clause.REFUSED, f"no proper refusals: {len(wrong)} ({tally(wrong)})")


def refusals_are_true(history: SlotHistory) -> Iterator[Finding]:
    """`Slot already booked` needs a rival that can have booked; `held` is false after a rival's 201."""
    bookings = [
        *history.confirmed,
        *(exchange for exchange in history.unknown if exchange.request.kind == "book"),
    ]
    phantom = [
        exchange
        for exchange in history.exchanges
        if refused_with(exchange, BOOKED)
        and not any(booking.invoked < exchange.returned and booking.rivals(exchange) for booking in bookings)
    ]
    if phantom:
        yield history.find(Clause.REFUSED, f"'{BOOKED}' without a booking: {len(phantom)}")
    outdated = [
        exchange
        for exchange in history.exchanges
        if refused_with(exchange, HELD)
        and any(
            booking.returned < exchange.invoked and booking.rivals(exchange) for booking in history.confirmed
        )
    ]
    if outdated:
        yield history.find(Clause.REFUSED, f"'{HELD}' though it was booked: {len(outdated)}")


def all_answered(history: SlotHistory) -> Iterator[Finding]:
    silent = [exchange for exchange in history.exchanges if not exchange.reply.answered]
    if silent:
        total = len(history.exchanges)
        yield history.find(Clause.ANSWERED, f"{len(silent)} of {total} not answered ({tally(silent)})")


def late_is_refused(history: SlotHistory) -> Iterator[Finding]:
    late = history.of("late")
    if not late:
        yield history.find(Clause.LATE, "no late request was sent")
    if all(winner.request.step == "late" for winner in history.confirmed):
        return
    wrong = [request for request in late if request.reply.answered and not refused_with(request, BOOKED)]
    if wrong:
        yield history.find(
            Clause.LATE, f"late requests not refused as they must be: {len(wrong)} ({tally(wrong)})"
        )


def winner_reads_back(history: SlotHistory) -> Iterator[Finding]:
    for winner in history.confirmed:
        known = appointment_id(winner)
        reads = [exchange for exchange in history.of("read") if exchange.request.body["id"] == known]
        if not reads:
            yield history.find(Clause.READ_BACK, f"the booking of {winner.request.patient} was not read back")
        expected = {"appointment": (winner.reply.body or {}).get("appointment")}
        wrong = [
            read
            for read in reads
            if read.reply.answered and (read.reply.status != 200 or read.reply.body != expected)
        ]
        for read in wrong:
            found = "another appointment" if read.reply.status == 200 else str(read.reply)
            text = f"the booking of {winner.request.patient}, read via {read.request.via}, gives {found}"
            yield history.find(Clause.READ_BACK, text)


def cancelled_is_free(history: SlotHistory) -> Iterator[Finding]:
    """A cancel returns the cancelled appointment, and in the end nothing is taken."""
    for cancel in (each for each in history.of("cancel") if each.reply.answered):
        body = cancel.reply.body or {}
        match cancel.reply.status, body.get("message"), body.get("appointment"):
            case 200, "Booking cancelled", {"id": id, "status": "cancelled"} if (
                id == cancel.request.body["id"]
            ):
                continue
        yield history.find(Clause.FREED, f"a cancel was answered with {cancel.reply}")
    for asked in (each for each in history.of("free") if each.reply.answered):
        if (asked.reply.body or {}).get("taken") != []:
            yield history.find(
                Clause.FREED, f"every booking was cancelled, but the slot is not free ({asked.reply})"
            )


CHECKS: tuple[ClauseCheck, ...] = (
    one_winner,
    confirms_what_was_asked,
    refusals_have_the_right_text,
    refusals_are_true,
    *holds.CHECKS,
    all_answered,
    late_is_refused,
    winner_reads_back,
    cancelled_is_free,
)
