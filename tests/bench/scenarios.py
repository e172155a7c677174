"""The loads of each scenario that a side is put to as it is."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.bench import straight
from tests.bench.heard import Heard
from tests.bench.options import Options
from tests.bench.sides import Running
from tests.bench.wrk import BOOK, HOLD, http_load, one_beside

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


def loads_of(running: Running, options: Options) -> list[Load]:
    """What a side is put to, one after the other; straight over NATS only where it can be."""
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
        *_over_nats(running, seconds),
        *(book("connections", number) for number in options.over_connections),
        book("overload", callers, x=1),
        book("overload", callers * OVERLOAD, x=OVERLOAD),
    ]
    return [load for load in loads if load.scenario in options.only]


def _over_nats(running: Running, seconds: int) -> list[Load]:
    if not running.nats_url:
        return []
    return [Load("nats", straight.UNDER_WAY, partial(straight.peak, running.nats_url, seconds))]
