"""Fuzz a stack of its own, and look afterwards whether it is as it was."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.fuzz.nats_sender import NatsSender
from tests.fuzz.run import Broken, Fuzzer
from tests.keys import ALL_SCOPES, KeyFile, bearer
from tests.servers import Servers
from tests.slots import fresh
from tests.stack import Stack

WARM_UP_SECONDS = 5.0
GROWTH_BYTES = 60 * 1024 * 1024
"""More than caches and the memory allocator take after the warm-up."""


@dataclass
class Report:
    """What was sent, the number of answers by status, and the growth of each process in MB."""

    inputs: int
    statuses: dict[str, int]
    growth: dict[str, int]


def fuzz(servers: Servers, first_seed: int, seconds: float) -> Report:
    """Fuzz a new stack.

    Raises:
        Broken: an answer was wrong, or a process has ended, has grown, or does not serve any more.
    """
    with _stack(servers) as (stack, key), NatsSender(stack.env["NATS_URL"]) as nats:
        fuzzer = Fuzzer(stack.url, key, nats)
        fuzzer.run(first_seed, min(WARM_UP_SECONDS, seconds / 3))
        before = _memory(stack)
        inputs = fuzzer.run(first_seed + 100_000, seconds)
        growth = {name: (size - before[name]) // 2**20 for name, size in _memory(stack).items()}
        too_large = {name: size for name, size in growth.items() if size * 2**20 > GROWTH_BYTES}
        if too_large:
            raise Broken(f"processes have grown, in MB: {too_large}")
        booked = httpx.post(
            f"{stack.url}/api/book-appointment", json=fresh(), headers=bearer(key), timeout=20
        )
        if booked.status_code != 201:
            raise Broken(f"a booking after all that gets {booked.status_code}")
        return Report(inputs, dict(sorted(fuzzer.statuses.items())), growth)


@contextmanager
def _stack(servers: Servers) -> Iterator[tuple[Stack, str]]:
    with tempfile.TemporaryDirectory() as folder:
        keys = KeyFile(Path(folder) / "keys.json")
        key = keys.new(*ALL_SCOPES)
        with servers.new_stack(API_KEYS_FILE=str(keys.path)) as stack:
            yield stack.up(booking_workers=1), key


def _memory(stack: Stack) -> dict[str, int]:
    """Return the memory of each process in bytes.

    Raises:
        Broken: a process has ended.
    """
    sizes = {}
    for number, service in enumerate(stack.services):
        try:
            sizes[f"{service.kind} {number}"] = psutil.Process(service.pid).memory_info().rss
        except psutil.NoSuchProcess:
            raise Broken(f"{service.kind} has ended") from None
    return sizes
