"""The loads of the scenarios."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from shared.contract import operations
from tests.bench import changes, nats_load, reads
from tests.bench.load_result import LoadResult
from tests.bench.options import Options
from tests.bench.sides import Running
from tests.bench.wrk import APPOINTMENTS, BOOK, HOLD, SLOTS, Pattern, http_load, one_beside

STORM = Pattern(group=100)
"""A hundred requests in turn are for the same slot, and one of them can win."""
HALF_HOUR = Pattern(step=timedelta(minutes=30), more=',"durationMinutes":30')
TWO_FOR_AN_HOUR = Pattern(step=timedelta(hours=1), more=',"durationMinutes":60,"resources":["doctor","room"]')
OVERLAP = Pattern(
    step=timedelta(minutes=135), group=100, offset=timedelta(minutes=1), more=',"durationMinutes":30'
)
"""A hundred requests in turn begin a minute apart and last half an hour, so a few of them can win."""
OTHERS_BESIDE = 256
OVERLOAD = 10


@dataclass(frozen=True)
class Load:
    """A load: `run` executes it; `x` is its place in a sweep, or its number of callers.

    `counts_cpu` is false if other callers load the side too: its CPU time is then not that of the counted
    requests alone.
    """

    scenario: str
    x: int
    run: Callable[[], LoadResult]
    counts_cpu: bool = True


def booking(running: Running, options: Options, scenario: str, x: int) -> Load:
    """Return bookings over the usual number of connections, at a place of a sweep."""
    return Load(scenario, x, partial(http_load, running.url, BOOK, options.connections, options.seconds))


def loads_of(running: Running, options: Options) -> Iterator[Load]:
    """Yield the loads that run on a side as it is started.

    Loads straight over NATS run only on a side that takes them. The rows of a load are inserted when its turn
    comes.
    """
    url, seconds, callers = running.url, options.seconds, options.connections
    load_with_key = partial(http_load, key=running.key)

    def book(scenario: str, callers: int, x: int | None = None) -> Load:
        run = partial(load_with_key, url, BOOK, callers, seconds)
        return Load(scenario, callers if x is None else x, run)

    storm = partial(load_with_key, url, BOOK, callers, seconds, pattern=STORM, refused=True)
    loads = [
        book("book", callers),
        Load("storm", callers, storm),
        Load("hold", callers, partial(load_with_key, url, HOLD, callers, seconds)),
        book("alone", 1),
        Load("beside", OTHERS_BESIDE, partial(one_beside, url, OTHERS_BESIDE, seconds), counts_cpu=False),
        *(book("connections", number) for number in options.over_connections),
        book("overload", callers, x=1),
        book("overload", callers * OVERLOAD, x=OVERLOAD),
    ]
    yield from (load for load in loads if load.scenario in options.only)
    if running.nats_url:
        yield from _ours_only(running, running.nats_url, options)


def _ours_only(running: Running, nats_url: str, options: Options) -> Iterator[Load]:
    """Yield the loads that the monoliths do not support."""
    seconds, callers, batched = options.seconds, options.connections, nats_load.BATCHED_IN_FLIGHT
    for scenario, pattern in (("half hour", HALF_HOUR), ("two an hour", TWO_FOR_AN_HOUR)):
        if "long" in options.only:
            run = partial(http_load, running.url, BOOK, callers, seconds, pattern=pattern, key=running.key)
            yield Load(scenario, callers, run)
    if "overlap" in options.only:
        run = partial(
            http_load, running.url, BOOK, callers, seconds, pattern=OVERLAP, refused=True, key=running.key
        )
        yield Load("overlap", callers, run)
    if "nats" in options.only:
        yield Load("nats", nats_load.IN_FLIGHT, partial(nats_load.peak, nats_url, seconds))
        subject = operations.BOOK.many_subject
        book_many = partial(nats_load.batches, nats_url, seconds, subject, nats_load.bookings())
        yield Load("nats many", batched, book_many)
    for change in (changes.CANCEL, changes.MOVE):
        if change.name in options.only:
            ids = changes.insert_bookings(running.mongo_uri, changes.OVER_HTTP * seconds)
            single = partial(changes.over_http, change, running.url, callers, seconds, ids)
            yield Load(change.name, callers, single)
            ids = changes.insert_bookings(running.mongo_uri, changes.OVER_NATS * seconds)
            many = partial(changes.over_nats, change, nats_url, seconds, ids)
            yield Load(f"{change.name} many", batched, many)


def readings(running: Running, options: Options, appointments: int) -> list[Load]:
    """Return the reads of a side that has this many appointments stored."""
    days = reads.some_days(appointments)
    requests = {
        "appointment": (APPOINTMENTS, reads.some_ids(running.mongo_uri)),
        "day": (APPOINTMENTS, days),
        "slots": (SLOTS, days),
    }
    get = partial(
        http_load, running.url, connections=options.connections, seconds=options.seconds, method="GET"
    )
    return [
        Load(name, appointments, partial(get, path, lines=lines)) for name, (path, lines) in requests.items()
    ]
