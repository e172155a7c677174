"""Redis, with memory that can be taken away and a clock that can be set."""

import time

from redis import Redis

from deploy.local.ports import LOOPBACK
from deploy.local.redis import Redis as RedisServer
from tests.proof.faults.clock import Clock

CLOCK_FOLLOWS_SECONDS = 5.0
TOLERANCE_SECONDS = 1.5


class RedisNode(RedisServer):
    """A Redis that faults have power over; they pass by its gate."""

    @property
    def clock(self) -> Clock:
        """Its clock, which a file in its folder sets."""
        return Clock(self.data_dir / "clock")

    def environment(self) -> dict[str, str]:
        if self.clock.available:
            self.clock.set(0)
        return super().environment() | self.clock.environment()

    def set_clock(self, ahead: int) -> bool:
        """Set it so many seconds ahead, and wait until it is; False where it does not follow."""
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
        """Leave it so many bytes more than it has in use; the least used keys make room for new ones."""
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
