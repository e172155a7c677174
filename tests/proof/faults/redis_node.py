"""A Redis with a memory limit and a clock that faults can set."""

import time

from redis import Redis

from deploy.local.ports import LOOPBACK
from deploy.local.redis import Redis as RedisServer
from tests.proof.faults.clock import Clock

CLOCK_FOLLOWS_SECONDS = 5.0
TOLERANCE_SECONDS = 1.5


class RedisNode(RedisServer):
    """The Redis of a cluster. Faults connect to it directly, not through its gate."""

    @property
    def clock(self) -> Clock:
        """The clock of the process, set by a file in its folder."""
        return Clock(self.data_dir / "clock")

    def environment(self) -> dict[str, str]:
        if self.clock.available:
            self.clock.set(0)
        return super().environment() | self.clock.environment()

    def set_clock(self, ahead: int) -> bool:
        """Set the clock `ahead` seconds ahead and wait until it follows; return False if it does not."""
        self.clock.set(ahead)
        ends = time.monotonic() + CLOCK_FOLLOWS_SECONDS
        while time.monotonic() < ends:
            with self._connect() as client:
                seconds, _ = client.time()
            if abs(seconds - time.time() - ahead) < TOLERANCE_SECONDS:
                return True
            time.sleep(0.1)
        return False

    def limit_memory(self, spare: int) -> None:
        """Leave `spare` bytes more than are in use; the least recently used keys are evicted for new ones."""
        with self._connect() as client:
            limit = max(1, int(client.info("memory")["used_memory"]) + spare)
            client.config_set("maxmemory-policy", "allkeys-lru")
            client.config_set("maxmemory", limit)

    def restore_memory(self) -> None:
        with self._connect() as client:
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")

    def forget(self) -> None:
        """Drop all holds."""
        with self._connect() as client:
            client.flushall()

    def _connect(self) -> Redis:
        return Redis(host=LOOPBACK, port=self.port)
