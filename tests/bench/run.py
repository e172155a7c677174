"""The run: in each round every side is started, measured and stopped.

The first side changes from round to round. Only the measured side runs, so that idle work of the other sides
takes no CPU time from it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from tests.bench import nats_load
from tests.bench.cpu import CpuMeter, peaks, wait_idle
from tests.bench.options import Options
from tests.bench.relay import relay
from tests.bench.results import Measurement, Point
from tests.bench.scenarios import OVERLOAD, Load, booking, loads_of, readings
from tests.bench.servers import Servers
from tests.bench.sides import EXPRESS, OURS, Running, Side, sides_of
from tests.bench.stored import stored
from tests.bench.tools import install_express
from tests.bench.wrk import BOOK, HOLD, http_load

# The number of requests of the warm-up: just-in-time compilers must not be measured cold.
WARM_UP = {BOOK: 2_000, HOLD: 1_000}
WARM_UP_MOST_SECONDS = 8

ShowProgress = Callable[[str], None]


@dataclass(frozen=True)
class Turn:
    """One round of one side."""

    number: int
    side: Side


class Run:
    """Executes the scenarios of `options`, and reports its steps to `show_progress`."""

    def __init__(self, options: Options, show_progress: ShowProgress) -> None:
        self._options = options
        self._show_progress = show_progress
        self._sides = sides_of(options.sides, options.against)
        self.measurements: list[Measurement] = []

    def measure(self) -> None:
        """Start the servers, and execute all rounds; `measurements` grows with each load."""
        if EXPRESS in self._options.sides:
            self._show_progress("installing the Express monolith, if it is missing")
            install_express()
        with ExitStack() as resources:
            self._show_progress("starting mongod, Redis and nats-server")
            servers = resources.enter_context(Servers.started())
            if set(self._options.only) - {"workers", "stored", "reads", "relay"}:
                self._at_one_setup(servers)
            if "relay" in self._options.only:
                self._beside_a_relay(servers)
            if "workers" in self._options.only:
                self._over_workers(servers)
            if {"stored", "reads"} & set(self._options.only):
                self._over_stored(servers, resources)

    def _turns(self, sides: Sequence[Side]) -> Iterator[Turn]:
        for number in range(self._options.rounds):
            first = number % max(1, len(sides))
            yield from (Turn(number, side) for side in (*sides[first:], *sides[:first]))

    def _at_one_setup(self, servers: Servers) -> None:
        for turn in self._turns(self._sides):
            with self._running(servers, turn) as running:
                for load in loads_of(running, self._options):
                    self._measure(running, turn, load)
                if "overload" in self._options.only and running.nats_url:
                    self._overload_over_nats(running, turn, running.nats_url)

    def _overload_over_nats(self, running: Running, turn: Turn, nats_url: str) -> None:
        seconds = self._options.seconds
        peak = partial(nats_load.peak, nats_url, seconds)
        rate = self._measure(running, turn, Load("overload over NATS", 1, peak)).rate
        flood = partial(nats_load.overload, nats_url, seconds, OVERLOAD * rate)
        self._measure(running, turn, Load("overload over NATS", OVERLOAD, flood))

    def _beside_a_relay(self, servers: Servers) -> None:
        """Measure bookings without and with a relay, and how fast it publishes what it has missed."""
        for turn in self._turns([side for side in self._sides if not side.is_monolith]):
            for relays in _alternating((0, 1), turn):
                with self._running(servers, turn) as running, relay(servers, running) as beside:
                    idle = running.pids
                    running.pids = {**idle, **beside.pids}
                    if relays:
                        self._measure(running, turn, booking(running, self._options, "with relay", 1))
                        continue
                    wait_idle(running.pids)  # the events of the warm-up are published
                    beside.stop()
                    before, running.pids = beside.published(), idle
                    missed = self._measure(running, turn, booking(running, self._options, "without relay", 1))
                    catch_up = partial(beside.catch_up, before, missed.statuses[201])
                    self._measure(running, turn, Load("catching up", 1, catch_up, counts_cpu=False))

    def _over_workers(self, servers: Servers) -> None:
        for turn in self._turns([side for side in self._sides if not side.is_monolith]):
            for workers in _alternating(self._options.over_workers, turn):
                with self._running(servers, turn, workers=workers) as running:
                    self._measure(running, turn, booking(running, self._options, "workers", workers))

    def _over_stored(self, servers: Servers, resources: ExitStack) -> None:
        """Measure ours only, because the stored rows are those that this release writes."""
        only, databases = self._options.only, dict[int, str]()
        numbers = [number for number in self._options.over_stored if number or "stored" in only]
        for number in numbers:
            self._show_progress(f"storing {number:,} appointments")
            databases[number] = resources.enter_context(stored(servers, number))
        for turn in self._turns([side for side in self._sides if side.name == OURS]):
            for number in _alternating(numbers, turn):
                with self._running(servers, turn, database=databases[number]) as running:
                    if "reads" in only and number:
                        for load in readings(running, self._options, number):
                            self._measure(running, turn, load)
                    if "stored" in only:
                        self._measure(running, turn, booking(running, self._options, "stored", number))

    @contextmanager
    def _running(
        self, servers: Servers, turn: Turn, *, workers: int = 1, database: str | None = None
    ) -> Iterator[Running]:
        """Start the side, warm it up, and stop it afterwards."""
        self._show_progress(f"round {turn.number + 1} of {self._options.rounds}: {turn.side.name} starts")
        with turn.side.running(servers, workers=workers, database=database) as running:
            for path, requests in WARM_UP.items():
                _warm_up(running, path, self._options.connections, requests)
            yield running

    def _measure(self, running: Running, turn: Turn, load: Load) -> Measurement:
        name = f"{turn.side.name}, {load.scenario} {load.x:,}"
        self._show_progress(f"round {turn.number + 1} of {self._options.rounds}: {name}")
        wait_idle(running.pids)
        meter = CpuMeter.start(running.pids)
        result = load.run()
        used = meter.used() if load.counts_cpu else {}
        point = Point(load.scenario, turn.side.name, load.x, turn.number)
        self.measurements.append(Measurement.of(point, result, used, peaks(running.pids)))
        return self.measurements[-1]


def _warm_up(running: Running, path: str, connections: int, requests: int) -> None:
    for _ in range(WARM_UP_MOST_SECONDS):
        requests -= http_load(running.url, path, connections, seconds=1, key=running.key).done
        if requests <= 0:
            return


def _alternating(places: Sequence[int], turn: Turn) -> Sequence[int]:
    """Reverse the places in every second round, so that a drift over time does not look like the sweep."""
    return places[::-1] if turn.number % 2 else places
