"""The loads of each scenario that a side is put to as it is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from shared.contract import operations
from tests.bench import changes, reads
from tests.bench import nats_load as straight
from tests.bench.load_result import Heard
from tests.bench.options import Options
from tests.bench.sides import Running
from tests.bench.wrk import APPOINTMENTS, BOOK, HOLD, SLOTS, http_load, one_beside

STORM_SHARE = 100
"""How many in turn want the same slot: one of them can have it."""
OTHERS_BESIDE = 256
OVERLOAD = 10


@dataclass(frozen=True)
class Load:
    """`run` makes it; `x` is its place in a sweep, or how many callers there are.

    Where others are at work too (`all_heard` is false), what the processes use says nothing of those heard.
    """

    scenario: str
    x: int
    run: Callable[[], Heard]
    all_heard: bool = True


def booking(running: Running, options: Options, scenario: str, x: int) -> Load:
    """Bookings by as many callers as usual, at a place of a sweep."""
    return Load(scenario, x, partial(http_load, running.url, BOOK, options.connections, options.seconds))


def loads_of(running: Running, options: Options) -> Iterator[Load]:
    """What a side is put to, one after the other; what is its own, straight over NATS, only where it can be.

    What a load needs is made ready when its turn comes.
    """
    url, seconds, callers = running.url, options.seconds, options.connections

    def book(scenario: str, callers: int, x: int | None = None) -> Load:
        run = partial(http_load, url, BOOK, callers, seconds)
        return Load(scenario, callers if x is None else x, run)

    storm = partial(http_load, url, BOOK, callers, seconds, share=STORM_SHARE, refused=True)
    loads = [
        book("book", callers),
        Load("storm", callers, storm),
        Load("hold", callers, partial(http_load, url, HOLD, callers, seconds)),
        book("alone", 1),
        Load("beside", OTHERS_BESIDE, partial(one_beside, url, OTHERS_BESIDE, seconds), all_heard=False),
        *(book("connections", number) for number in options.over_connections),
        book("overload", callers, x=1),
        book("overload", callers * OVERLOAD, x=OVERLOAD),
    ]
    yield from (load for load in loads if load.scenario in options.only)
    if running.nats_url:
        yield from _own(running, running.nats_url, options)


def _own(running: Running, nats_url: str, options: Options) -> Iterator[Load]:
    """What monoliths do not have."""
    seconds, callers, together = options.seconds, options.connections, straight.MANY_UNDER_WAY
    if "nats" in options.only:
        yield Load("nats", straight.UNDER_WAY, partial(straight.peak, nats_url, seconds))
        book_many = partial(
            straight.many, nats_url, seconds, operations.BOOK.many_subject, straight.bookings()
        )
        yield Load("nats many", together, book_many)
    for change in (changes.CANCEL, changes.MOVE):
        if change.name in options.only:
            ids = changes.put(running.mongo_uri, changes.OVER_HTTP * seconds)
            one_each = partial(changes.over_http, change, running.url, callers, seconds, ids)
            yield Load(change.name, callers, one_each)
            ids = changes.put(running.mongo_uri, changes.OVER_NATS * seconds)
            many = partial(changes.over_nats, change, nats_url, seconds, ids)
            yield Load(f"{change.name} many", together, many)


def readings(running: Running, options: Options, appointments: int) -> list[Load]:
    """Reads of a side that has so many appointments stored."""
    days = reads.some_days(appointments)
    what = {
        "appointment": (APPOINTMENTS, reads.some_ids(running.mongo_uri)),
        "day": (APPOINTMENTS, days),
        "slots": (SLOTS, days),
    }
    how = partial(http_load, running.url, connections=options.connections, seconds=options.seconds)
    return [
        Load(name, appointments, partial(how, path, method="GET", lines=lines))
        for name, (path, lines) in what.items()
    ]
