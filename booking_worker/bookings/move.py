"""Moves, a batch of them: each is one write of one row, which takes the new claims and leaves the old."""

from collections.abc import Sequence

from booking_worker.bookings.intents import PASSING, REGISTERED, Intents
from booking_worker.bookings.lately_booked import LatelyBooked
from booking_worker.bookings.move_finality import MoveRefusals
from booking_worker.bookings.move_plan import Move, MovePlan, plan, repeat
from booking_worker.bookings.outcomes import ChangeOutcome, refusal_of
from booking_worker.bookings.preconditions import known_versions
from booking_worker.bookings.requests import first_of_each_claim
from shared.contract.deadline import Deadline
from shared.contract.errors import NotExecuted, OutcomeUnknown, SlotAlreadyBooked, SlotHeld
from shared.domain.booking import Booking
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import BookingStore, Found
from shared.stores.mongo.bulk import WriteResult
from shared.stores.mongo.writes import BookingWrites
from shared.stores.redis.intents import HoldState
from shared.worker.batcher import HEAVIEST_BATCH


class Mover:
    """Moves what can be moved of a batch. Only the store's unique index decides."""

    def __init__(
        self,
        bookings: BookingStore,
        writes: BookingWrites,
        intents: Intents,
        *,
        lately: LatelyBooked,
        grid: Grid,
        digests: Digests,
    ) -> None:
        self._lately = lately
        self._bookings = bookings
        self._writes = writes
        self._intents = intents
        self._grid = grid
        self._digests = digests
        self._refusals = MoveRefusals(bookings, writes)

    async def commit(self, moves: Sequence[Move], deadline: Deadline) -> list[ChangeOutcome]:
        """Decide a batch of moves by a deadline; one outcome each, in their order.

        1. MongoDB: what is booked now, and so where each move leads. What leads to a claim that was lately
           found booked is looked for, and refused if another has it.
        2. Redis: one script reads the holds there, and registers intents of those that may pass.
        3. MongoDB: one update of each booking, of the first that wants each claim. The index decides.
        4. What is not done is looked at behind a barrier: it was done before, or somebody is in its way.

        What has changed meanwhile, or is explained by nothing, is None: it is to be judged anew. So is a
        move of a booking for which another was asked earlier, and what makes the batch too large. Nothing
        was done for any of them.

        Raises:
            NoPrimary, NotExecuted: what is booked could not be read.
        """
        rows = await self._bookings.get_many(
            {move.id for move in moves}, versions=known_versions(moves), timeout=deadline.remaining
        )
        outcomes: dict[Move, ChangeOutcome] = {}
        plans: list[MovePlan] = []
        for move in moves:
            judged = plan(move, rows.get(move.id), self._grid, self._digests)
            if isinstance(judged, MovePlan):
                plans.append(judged)
            else:
                outcomes[move] = judged
        carried_out = await self._carry_out(_fitting(plans), deadline)
        outcomes |= {each.move: outcome for each, outcome in carried_out.items()}
        return [outcomes.get(move) for move in moves]

    async def _carry_out(
        self, plans: Sequence[MovePlan], deadline: Deadline
    ) -> dict[MovePlan, ChangeOutcome]:
        repeats = [each for each in plans if each.is_repeat]
        staying = [each for each in plans if each.stays and not each.is_repeat]
        changing = [each for each in plans if not each.stays]
        guessed = [each for each in changing if self._lately.has_any(each.claims.in_site)]
        taken = {
            each: outcome
            for each, outcome in (await self._explain([], guessed, [], deadline)).items()
            if isinstance(outcome, SlotAlreadyBooked)
        }
        outcomes = await self._refusals.make_final(taken, deadline)
        changing = [each for each in changing if each not in taken]
        states = await self._intents.register([each.intent for each in changing], deadline)
        found = dict(zip(changing, states, strict=True))
        outcomes |= dict.fromkeys(changing, NotExecuted())
        held = [each for each in changing if found[each] is HoldState.OTHERS]
        firsts, rivals = first_of_each_claim([each for each in changing if found[each] in PASSING])
        written = await self._write([*firsts, *staying], deadline)
        outcomes |= {
            p: p.change.after if w is WriteResult.DONE else refusal_of(w) for p, w in written.items()
        }
        met = [each for each, w in written.items() if w in (WriteResult.DUPLICATE, WriteResult.UNSURE)]
        explained = await self._explain([*met, *repeats], rivals, held, deadline)
        outcomes |= await self._refusals.make_final(explained, deadline)
        self._intents.clear(
            (each.intent, found[each], _stands(each, outcomes[each]))
            for each in changing
            if found[each] in REGISTERED and not isinstance(outcomes[each], OutcomeUnknown)
        )
        # The worker that moved the booking there may have died before it cleared the holds.
        self._intents.clear(
            (each.uses_up(booking), HoldState.MINE, True)
            for each in (*repeats, *staying)
            if isinstance(booking := outcomes[each], Booking)
        )
        return outcomes

    async def _write(self, plans: Sequence[MovePlan], deadline: Deadline) -> dict[MovePlan, WriteResult]:
        written = await self._writes.guarded(
            self._writes.change_many, [each.change for each in plans], deadline
        )
        return dict(zip(plans, written, strict=True))

    async def _explain(
        self,
        tried: Sequence[MovePlan],
        rivals: Sequence[MovePlan],
        held: Sequence[MovePlan],
        deadline: Deadline,
    ) -> dict[MovePlan, ChangeOutcome]:
        """What became of moves, or is in their way. For `rivals` and `held` nothing was written."""
        others = [*rivals, *held]
        claims = {claim for each in (*tried, *others) for claim in each.claims.in_site}
        ids = {each.id for each in (*tried, *others)}
        try:
            found = await self._bookings.find(ids=ids, claims=claims, timeout=deadline.remaining)
        except (NotExecuted, OutcomeUnknown):
            return dict.fromkeys(tried, OutcomeUnknown()) | dict.fromkeys(others, NotExecuted())
        self._lately.note(claims, found.booked)
        explained = {each: _explanation(each, found) for each in (*tried, *rivals)}
        return explained | {each: _explanation(each, found, SlotHeld()) for each in held}


def _explanation(plan: MovePlan, found: Found, otherwise: ChangeOutcome = None) -> ChangeOutcome:
    row = found.by_id.get(plan.id)
    if row is None:
        return None
    if (answer := repeat(plan.move, row)) is not None:
        return answer
    if not plan.is_of(row):
        return None
    if any(found.owners.get(claim, plan.id) != plan.id for claim in plan.claims.in_site):
        return SlotAlreadyBooked()
    return otherwise


def _fitting(plans: Sequence[MovePlan]) -> list[MovePlan]:
    """The change of each booking that was asked for first, as many as one batch takes; and all repeats."""
    fitting: list[MovePlan] = []
    ids: set[str] = set()
    weight = 0
    for each in sorted(plans, key=lambda each: each.move.asked_at):
        if not each.is_repeat:
            weight += len(each.claims.keys)
            if each.id in ids or (ids and weight > HEAVIEST_BATCH):
                continue
            ids.add(each.id)
        fitting.append(each)
    return fitting


def _stands(plan: MovePlan, outcome: ChangeOutcome) -> bool:
    """Whether the booking lies where the move leads, and so has used up its patient's holds there."""
    if not isinstance(outcome, Booking):
        return False
    return outcome.status == "booked" and outcome.claims == plan.claims
