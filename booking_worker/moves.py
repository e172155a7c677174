"""Moves, a batch of them: each is one write of one row, which takes the new claims and leaves the old."""

from collections.abc import Sequence

from booking_worker.fences import Fences
from booking_worker.intents import PASSING, REGISTERED, Intents
from booking_worker.plans import Move, Plan, plan
from booking_worker.requests import first_of_each_claim
from booking_worker.writes import ChangeOutcome, Writes, refusal_of
from shared.contract.deadline import Deadline
from shared.contract.errors import NotExecuted, OutcomeUnknown, SlotAlreadyBooked, SlotHeld
from shared.domain.booking import Booking
from shared.domain.digests import Digests
from shared.domain.grid import Grid
from shared.stores.mongo.bookings import BookingStore, Found
from shared.stores.mongo.writes import Written
from shared.stores.redis.intents import HoldState
from shared.worker.batcher import HEAVIEST_BATCH


class Moves:
    """Moves what can be moved of a batch. Only the store's unique index decides."""

    def __init__(
        self, bookings: BookingStore, writes: Writes, intents: Intents, grid: Grid, digests: Digests
    ) -> None:
        self._bookings = bookings
        self._writes = writes
        self._intents = intents
        self._grid = grid
        self._digests = digests
        self._fences = Fences(bookings, writes)

    async def decide(self, moves: Sequence[Move], deadline: Deadline) -> list[ChangeOutcome]:
        """Decide a batch of moves by a deadline; one outcome each, in their order.

        1. MongoDB: what is booked now, and so where each move leads.
        2. Redis: one script reads the holds there, and registers intents of those that may pass.
        3. MongoDB: one update of each booking, of the first that wants each claim. The index decides.
        4. What is not done is looked at behind a barrier: it was done before, or somebody is in its way.

        What has changed meanwhile, or is explained by nothing, is None: it is to be judged anew. So is a
        second move of one booking, and what makes the batch too large. Nothing was done for any of them.

        Raises:
            NoPrimary, NotExecuted: what is booked could not be read.
        """
        rows = await self._bookings.get_many({move.id for move in moves}, timeout=deadline.remaining)
        outcomes: dict[Move, ChangeOutcome] = {}
        plans: list[Plan] = []
        for move in moves:
            judged = plan(move, rows.get(move.id), self._grid, self._digests)
            if isinstance(judged, Plan):
                plans.append(judged)
            else:
                outcomes[move] = judged
        carried_out = await self._carry_out(_fitting(plans), deadline)
        outcomes |= {each.move: outcome for each, outcome in carried_out.items()}
        return [outcomes.get(move) for move in moves]

    async def _carry_out(self, plans: Sequence[Plan], deadline: Deadline) -> dict[Plan, ChangeOutcome]:
        done = [each for each in plans if each.is_done]
        changing = [each for each in plans if not each.is_done]
        states = await self._intents.register([each.intent for each in changing], deadline)
        found = dict(zip(changing, states, strict=True))
        outcomes: dict[Plan, ChangeOutcome] = dict.fromkeys(changing, NotExecuted())
        held = [each for each in changing if found[each] is HoldState.OTHERS]
        firsts, rivals = first_of_each_claim([each for each in changing if found[each] in PASSING])
        written = await self._write(firsts, deadline)
        outcomes |= {p: p.change.after if w is Written.DONE else refusal_of(w) for p, w in written.items()}
        met = [each for each, w in written.items() if w in (Written.DUPLICATE, Written.UNSURE)]
        explained = await self._explain([*met, *done], rivals, held, deadline)
        outcomes |= await self._fences.make_final(explained, deadline)
        self._intents.clear(
            (each.intent, found[each], _stands(each, outcomes[each]))
            for each in changing  # what was done before has no intent, and used up its holds then
            if found[each] in REGISTERED and not isinstance(outcomes[each], OutcomeUnknown)
        )
        return outcomes

    async def _write(self, plans: Sequence[Plan], deadline: Deadline) -> dict[Plan, Written]:
        written = await self._writes.change([each.change for each in plans], deadline)
        return dict(zip(plans, written, strict=True))

    async def _explain(
        self, tried: Sequence[Plan], rivals: Sequence[Plan], held: Sequence[Plan], deadline: Deadline
    ) -> dict[Plan, ChangeOutcome]:
        """What became of moves, or is in their way. For `rivals` and `held` nothing was written."""
        others = [*rivals, *held]
        claims = {claim for each in (*tried, *others) for claim in each.claims.in_site}
        ids = {each.id for each in (*tried, *others)}
        try:
            found = await self._bookings.find(ids=ids, claims=claims, timeout=deadline.remaining)
        except (NotExecuted, OutcomeUnknown):
            return dict.fromkeys(tried, OutcomeUnknown()) | dict.fromkeys(others, NotExecuted())
        explained = {each: _explanation(each, found) for each in (*tried, *rivals)}
        return explained | {each: _explanation(each, found, SlotHeld()) for each in held}


def _explanation(plan: Plan, found: Found, otherwise: ChangeOutcome = None) -> ChangeOutcome:
    row = found.by_id.get(plan.id)
    if row is None:
        return None
    if row.was_moved_by(plan.move.move_id):
        return row
    if not plan.is_of(row):
        return None
    if plan.is_done:
        return row
    if any(found.owners.get(claim, plan.id) != plan.id for claim in plan.claims.in_site):
        return SlotAlreadyBooked()
    return otherwise


def _fitting(plans: Sequence[Plan]) -> list[Plan]:
    """The first change of each booking, as many as one batch takes; and what is done already."""
    fitting: list[Plan] = []
    ids: set[str] = set()
    weight = 0
    for each in plans:
        if not each.is_done:
            weight += len(each.claims.keys)
            if each.id in ids or (ids and weight > HEAVIEST_BATCH):
                continue
            ids.add(each.id)
        fitting.append(each)
    return fitting


def _stands(plan: Plan, outcome: ChangeOutcome) -> bool:
    """Whether the booking lies where the move leads, and so has used up its patient's holds there."""
    if not isinstance(outcome, Booking):
        return False
    return outcome.status == "booked" and outcome.claims == plan.claims
