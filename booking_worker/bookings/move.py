"""Move a batch of bookings. One write of one row takes the new claims and frees the old ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from booking_worker.bookings.finality import MoveFinality
from booking_worker.bookings.intents import MAY_BE_REGISTERED, MAY_PASS, IntentClearer
from booking_worker.bookings.lately_booked import LatelyBooked
from booking_worker.bookings.move_plan import MovePlan, PendingMove, plan_move, replay_move
from booking_worker.bookings.outcomes import REFUSALS, ChangeOutcome, refusal_of
from booking_worker.bookings.preconditions import known_versions
from booking_worker.bookings.requests import split_competitors
from shared.contract.asked_at import unix_ms_now
from shared.contract.deadline import Deadline
from shared.contract.errors import NotExecuted, OutcomeUnknown, Refused, SlotAlreadyBooked, TooLateToChange
from shared.domain.booking import Booking
from shared.domain.digests import Digests
from shared.domain.grid import Grid, SlotRange
from shared.domain.schedule.site import SiteSchedules
from shared.stores.mongo.bookings import BookingStore, Found
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.schedule_cache import ScheduleCache
from shared.stores.mongo.writes import BookingWrites
from shared.stores.redis.intents import BLOCKED, HoldState, IntentStore
from shared.worker.batcher import HEAVIEST_BATCH


class Mover:
    """Moves a batch of bookings. Only MongoDB's unique index decides which booking gets a claim."""

    def __init__(
        self,
        bookings: BookingStore,
        writes: BookingWrites,
        intents: IntentStore,
        clearer: IntentClearer,
        *,
        lately: LatelyBooked,
        schedules: ScheduleCache,
        grid: Grid,
        digests: Digests,
    ) -> None:
        self._lately = lately
        self._schedules = schedules
        self._bookings = bookings
        self._writes = writes
        self._intents = intents
        self._clearer = clearer
        self._grid = grid
        self._digests = digests
        self._finality = MoveFinality(bookings, writes)

    async def commit(self, moves: Sequence[PendingMove], deadline: Deadline) -> list[ChangeOutcome]:
        """Decide a batch of moves by a deadline.

        1. MongoDB: read the rows and plan the moves. Read the targets that were recently found booked, and
           refuse their moves if another booking has them.
        2. Redis: one script reads the holds on the targets, and registers intents for the moves that no hold
           and no cap of a share blocks.
        3. MongoDB: update one row per booking, and one per claim, in one bulk. The index decides.
        4. MongoDB: behind the read barrier, read why an update matched nothing: the move was done before, or
           another booking has a claim of the target.

        Returns:
            One outcome per move, in order. None: nothing was done, and the move joins a later batch. This
            happens if another write changed the row, if no reason was found, if another move of the same
            booking was asked earlier, or if the batch is full.

        Raises:
            NoPrimary, NotExecuted: the rows could not be read.
        """
        rows = await self._bookings.get_many(
            {move.id for move in moves}, versions=known_versions(moves), timeout=deadline.remaining
        )
        sites = {row.site for row in rows.values()}
        needed = [m for m in moves if m.command.service is not None or m.caller.is_patient]
        served = {rows[move.id].site for move in needed if move.id in rows}
        schedules = await self._schedules.of_commands(sites, served, timeout=deadline.remaining)
        outcomes: dict[PendingMove, ChangeOutcome] = {}
        plans: list[MovePlan] = []
        invalid: dict[MovePlan, ChangeOutcome] = {}
        for move in moves:
            planned = plan_move(move, rows.get(move.id), self._grid, self._digests, schedules)
            if not isinstance(planned, MovePlan):
                outcomes[move] = planned
                continue
            judged = _judged(planned, schedules)
            if judged.invalid:
                invalid[judged] = judged.invalid
            else:
                plans.append(judged)
        # An earlier attempt may have found the service in the schedule.
        carried_out = await self._finality.make_final(invalid, deadline)
        carried_out |= await self._carry_out(_fitting(plans), deadline)
        outcomes |= {plan.move: outcome for plan, outcome in carried_out.items()}
        return [outcomes.get(move) for move in moves]

    async def _carry_out(
        self, plans: Sequence[MovePlan], deadline: Deadline
    ) -> dict[MovePlan, ChangeOutcome]:
        replays = [plan for plan in plans if plan.is_replay]
        staying = [plan for plan in plans if plan.stays and not plan.is_replay]
        changing = [plan for plan in plans if not plan.stays]
        suspected = [plan for plan in changing if self._lately.has_any(plan.claims.in_site)]
        outcomes: dict[MovePlan, ChangeOutcome] = {}
        taken: dict[MovePlan, ChangeOutcome] = {}
        if suspected:
            found = await self._explain([], suspected, {}, deadline)
            taken = {
                plan: outcome for plan, outcome in found.items() if isinstance(outcome, SlotAlreadyBooked)
            }
            outcomes |= await self._finality.make_final(taken, deadline)
        changing = [plan for plan in changing if plan not in taken]
        refused = [plan for plan in changing if plan.not_offered]
        held = await self._intents.hold_all([plan.intent for plan in refused], seconds=deadline.remaining)
        not_offered = {
            plan: plan.not_offered
            for plan, holds_all in zip(refused, held, strict=True)
            if plan.not_offered and not holds_all
        }
        changing = [plan for plan in changing if plan not in not_offered]
        states = await self._intents.register_intents(
            [plan.intent for plan in changing], seconds=deadline.remaining
        )
        hold_states = dict(zip(changing, states, strict=True))
        outcomes |= dict.fromkeys(changing, NotExecuted())
        blocked: dict[MovePlan, Refused] = {
            **not_offered,
            **{p: REFUSALS[hold_states[p]]() for p in changing if hold_states[p] in BLOCKED},
        }
        firsts, competitors = split_competitors([p for p in changing if hold_states[p] in MAY_PASS])
        written = await self._write([*firsts, *staying], deadline)
        outcomes |= {
            p: p.change.after if w is WriteResult.DONE else refusal_of(w) for p, w in written.items()
        }
        unmatched = [p for p, w in written.items() if w in (WriteResult.DUPLICATE, WriteResult.UNSURE)]
        if unmatched or replays or competitors or blocked:
            explained = await self._explain([*unmatched, *replays], competitors, blocked, deadline)
            outcomes |= await self._finality.make_final(explained, deadline)
        self._clearer.clear(
            (plan.intent, state, _is_at_target(plan, outcomes[plan]))
            for plan, state in hold_states.items()
            if state in MAY_BE_REGISTERED and not isinstance(outcomes[plan], OutcomeUnknown)
        )
        # A replay: the worker that moved the booking may have died before it used up the holds.
        self._clearer.clear(
            (plan.intent_at(booking), HoldState.MINE, True)
            for plan in (*replays, *staying)
            if isinstance(booking := outcomes[plan], Booking)
        )
        return outcomes

    async def _write(self, plans: Sequence[MovePlan], deadline: Deadline) -> dict[MovePlan, WriteResult]:
        written = await self._writes.guarded(
            self._writes.change_many, [plan.change for plan in plans], deadline
        )
        return dict(zip(plans, written, strict=True))

    async def _explain(
        self,
        tried: Sequence[MovePlan],
        competitors: Sequence[MovePlan],
        blocked: Mapping[MovePlan, Refused],
        deadline: Deadline,
    ) -> dict[MovePlan, ChangeOutcome]:
        """Read behind the read barrier whether moves were done, or which booking blocks them.

        Args:
            tried: moves whose update was sent, by this attempt or an earlier one.
            competitors: moves without an update, because an earlier move of the batch has a claim of theirs.
            blocked: moves without an update, because of a hold or a cap, and the refusal of each.
            deadline: of the batch.

        Returns:
            An outcome for each of them; None if no reason was found.
        """
        not_tried = [*competitors, *blocked]
        claims = {claim for plan in (*tried, *not_tried) for claim in plan.claims.in_site}
        ids = {plan.id for plan in (*tried, *not_tried)}
        try:
            found = await self._bookings.find(ids=ids, claims=claims, timeout=deadline.remaining)
        except (NotExecuted, OutcomeUnknown):
            return dict.fromkeys(tried, OutcomeUnknown()) | dict.fromkeys(not_tried, NotExecuted())
        self._lately.note(claims, found.booked)
        explained = {plan: _explanation(plan, found) for plan in (*tried, *competitors)}
        return explained | {plan: _explanation(plan, found, refusal) for plan, refusal in blocked.items()}


def _judged(plan: MovePlan, by_site: Mapping[str, SiteSchedules]) -> MovePlan:
    """Return the plan with the refusal of a schedule, if the booking is to change its place."""
    before, after = plan.change.before, plan.change.after
    schedules = by_site.get(after.site)
    if schedules is None or plan.stays:
        return plan
    asked_at, is_patient = plan.move.asked_at, plan.move.caller.is_patient
    if is_patient and schedules.is_too_late(before.resources, before.slot, asked_at):
        return replace(plan, invalid=TooLateToChange())
    slot_range = SlotRange(after.slot, after.duration, after.slot_minutes, ())
    return replace(plan, not_offered=schedules.refusal(after.resources, slot_range, unix_ms_now()))


def _explanation(plan: MovePlan, found: Found, otherwise: ChangeOutcome = None) -> ChangeOutcome:
    row = found.by_id.get(plan.id)
    if row is None:
        return None
    if (answer := replay_move(plan.move, row)) is not None:
        return answer
    if not plan.matches(row):
        return None
    if any(found.owners.get(claim, plan.id) != plan.id for claim in plan.claims.in_site):
        return SlotAlreadyBooked()
    return otherwise


def _fitting(plans: Sequence[MovePlan]) -> list[MovePlan]:
    """Select the plans of one batch: all replays, and the earliest asked move of each booking that fits."""
    fitting: list[MovePlan] = []
    ids: set[str] = set()
    weight = 0
    for plan in sorted(plans, key=lambda plan: plan.move.asked_at):
        if not plan.is_replay:
            weight += len(plan.claims.keys)
            if plan.id in ids or (ids and weight > HEAVIEST_BATCH):
                continue
            ids.add(plan.id)
        fitting.append(plan)
    return fitting


def _is_at_target(plan: MovePlan, outcome: ChangeOutcome) -> bool:
    """Return whether the booking is at the target of the move, and so uses up its patient's holds there."""
    if not isinstance(outcome, Booking):
        return False
    return outcome.status == "booked" and outcome.claims == plan.claims
