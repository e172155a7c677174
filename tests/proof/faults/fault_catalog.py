"""The kinds of faults that there are."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.proof.faults import redis_faults as redis
from tests.proof.faults import server_faults as servers
from tests.proof.faults import service_faults as services
from tests.proof.faults.cluster import Cluster
from tests.proof.faults.link_faults import (
    ANY,
    CUT,
    DELAYED,
    HANGING,
    REPLIES_LOST,
    REQUESTS_LOST,
    break_links,
    cut_off_worker,
    slow_redis,
)
from tests.proof.faults.nats_faults import answer_late, deaf_member, lose_first_attempts, send_malformed


@dataclass(frozen=True)
class Kind:
    """A kind of fault, how it is injected, and for how many seconds; one of a family at a time."""

    name: str
    family: str
    inject: Callable[[Cluster, Random], AbstractAsyncContextManager[str]]
    shortest: float = 1.0
    longest: float = 3.0


# A pause must outlast the deadline of a command (5 s), an isolation the election of a new primary (2 to 6 s).
_KINDS = (
    Kind("worker_kill", "service", services.kill_service, 0.2, 2),
    Kind("worker_term", "service", services.terminate_service, 0.2, 1),
    Kind("worker_pause", "service", services.pause_service, 2, 7),
    # Its length is its own. It loses no hold: Redis is well, and only the worker's clock stands still.
    Kind("worker_stutter", "service", partial(services.stutter_service, module="booking_worker"), 0, 0),
    Kind("worker_clock", "service", services.skew_clock, 2, 4),
    Kind("worker_log", "service", services.lose_log_reader, 1, 4),
    Kind("gateway_kill", "service", partial(services.kill_service, module="gateway"), 0.2, 2),
    Kind("gateway_term", "service", partial(services.terminate_service, module="gateway"), 0.2, 1),
    # With its own patience of five seconds, a gateway that was paused still answers within ten.
    Kind("gateway_pause", "service", partial(services.pause_service, module="gateway"), 2, 4.5),
    Kind("nats_kill", "nats", servers.kill_nats_node),
    Kind("nats_restart_all", "nats", servers.kill_all_nats, 0.2, 1.5),
    Kind("nats_cut", "nats", partial(break_links, server="nats", how=(CUT,))),
    Kind("nats_delay", "nats", partial(break_links, server="nats", how=(DELAYED,))),
    Kind("nats_swallow", "nats", partial(break_links, server="nats", how=(REQUESTS_LOST,))),
    Kind("nats_deaf_member", "nats", deaf_member, 2, 4),
    Kind("nats_lose_first_attempts", "nats", lose_first_attempts, 2, 4),
    Kind("nats_answer_late", "nats", answer_late, 2, 4),
    Kind("nats_malformed", "nats", send_malformed, 2, 4),
    Kind("mongo_kill_primary", "mongo", servers.kill_primary, 2, 5),
    Kind("mongo_stepdown", "mongo", servers.step_down, 3, 4),
    Kind("mongo_isolate_primary", "mongo", servers.isolate_primary, 6, 9),
    Kind("mongo_cut", "mongo", partial(break_links, server="mongo", how=(CUT,))),
    Kind("mongo_delay", "mongo", partial(break_links, server="mongo", how=(DELAYED,))),
    Kind("mongo_stall", "mongo", partial(break_links, server="mongo", how=(HANGING,)), 1, 8),
    Kind("mongo_swallow", "mongo", partial(break_links, server="mongo", how=(REPLIES_LOST,)), 1, 6),
    Kind("mongo_cut_off_worker", "mongo", cut_off_worker, 3, 8),
    Kind("mongo_fail_commands", "mongo", servers.fail_commands, 2, 4),
    Kind("redis_kill", "redis", servers.kill_redis),
    Kind("redis_flush", "redis", redis.flush_redis, 0, 0),
    Kind("redis_pause", "redis", redis.pause_redis, 1, 6),
    Kind("redis_evict", "redis", redis.starve_redis),
    Kind("redis_clock_jump", "redis", redis.move_redis_clock),
    # It loses no hold, so it excuses none that is broken.
    Kind("redis_slow", "redis", slow_redis, 2, 4),
    Kind("redis_partition", "redis", partial(break_links, server="redis", how=ANY), 1, 5),
)
KINDS = {kind.name: kind for kind in _KINDS}
