"""Split a list into one read per booking, or per claim.

A list is read while bookings change; it need not show a single moment.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from tests.proof.checker.components import reachable_claims
from tests.proof.checker.model import may_take_effect
from tests.proof.faults.history import Operation
from tests.proof.faults.places import Claim, cells

Ids = Mapping[str, set[str]]
"""The bookings that may own a cell, by the cells of one resource."""


def split_reads(operations: Sequence[Operation]) -> tuple[list[Operation], dict[int, Operation]]:
    """Return the operations with lists split into reads, and the list of each such read."""
    rest = [each for each in operations if each.kind not in ("list", "slots")]
    known, moves = _known(rest), _moves(rest)
    numbers = count(max((each.number for each in operations), default=0) + 1)
    source: dict[int, Operation] = {}
    for each in operations:
        if not each.ok or each.kind not in ("list", "slots"):
            continue
        ids = known[each.site, each.resources[0]]
        for part in _bookings(each, ids, moves) if each.kind == "list" else _claims(each, ids):
            rest.append(replace(part, number=next(numbers)))
            source[rest[-1].number] = each
    return rest, source


def _bookings(asked: Operation, known: Ids, moves: Callable[[str, Operation], bool]) -> Iterator[Operation]:
    """Yield a read for each listed booking, and for each absent one that cannot have moved meanwhile."""
    for id, state in asked.listed:
        yield replace(asked, kind="get", appointment_id=id, told=state, listed=())
    since = _first_cell(asked)
    near = set[str]().union(*(ids for cell, ids in known.items() if since <= cell < asked.until))
    for id in sorted(near - {id for id, _ in asked.listed}):
        if not moves(id, asked):
            yield replace(asked, appointment_id=id, listed=())


def _claims(asked: Operation, known: Ids) -> Iterator[Operation]:
    """Yield a read for each cell: booked, held, or free."""
    since = _first_cell(asked)
    near = {cell for cell in known if since <= cell < asked.until}
    for cell in sorted(near | {cell for cell, _ in asked.taken}):
        taken = tuple(each for each in asked.taken if each[0] == cell)
        yield replace(asked, slot=cell, until="", taken=taken)


def _first_cell(asked: Operation) -> str:
    """The cell in which a window begins."""
    return cells(asked.slot, 1)[0]


def _known(operations: Sequence[Operation]) -> Mapping[tuple[str, str], Ids]:
    known: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    may_own = reachable_claims(operations)

    def note(claims: frozenset[Claim], id: str | None) -> None:
        for site, resource, cell in claims:
            known[site, resource][cell] |= {id} if id else set()

    for id in {each.appointment_id for each in operations if may_take_effect(each) and each.appointment_id}:
        note(may_own(id), id)
    for each in operations:
        note(each.claims, None)
    return known


def _moves(operations: Sequence[Operation]) -> Callable[[str, Operation], bool]:
    """Return whether a booking may have moved while a request was in flight."""
    moves: dict[str | None, list[Operation]] = defaultdict(list)
    for each in operations:
        if each.kind == "move" and may_take_effect(each):
            moves[each.appointment_id].append(each)
    return lambda booking, asked: any(
        each.invoked <= asked.end and asked.invoked <= each.end for each in moves.get(booking, ())
    )
