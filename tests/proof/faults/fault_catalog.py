"""The kinds of faults."""

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
class FaultKind:
    """A kind of fault, its injection, and its duration in seconds. At most one of a family is active."""

    name: str
    family: str
    inject: Callable[[Cluster, Random], AbstractAsyncContextManager[str]]
    shortest: float = 1.0
    longest: float = 3.0


RELAY, WEBHOOKS = ("relay",), ("webhooks",)
# A pause must outlast a command's deadline (5 s), an isolation the election of a primary (2 to 6 s).
_ALL = (
    FaultKind("worker_kill", "service", services.kill_service, 0.2, 2),
    FaultKind("worker_term", "service", services.terminate_service, 0.2, 1),
    FaultKind("worker_pause", "service", services.pause_service, 2, 7),
    # It sets its own duration. It loses no hold: Redis works, and only the worker stands still.
    FaultKind("worker_stutter", "service", partial(services.stutter_service, module="booking_worker"), 0, 0),
    FaultKind("worker_clock", "service", services.skew_clock, 2, 4),
    FaultKind("worker_log", "service", services.lose_log_reader, 1, 4),
    FaultKind("gateway_kill", "service", partial(services.kill_service, module="gateway"), 0.2, 2),
    FaultKind("gateway_term", "service", partial(services.terminate_service, module="gateway"), 0.2, 1),
    # With its timeout of five seconds, a paused gateway still answers within ten.
    FaultKind("gateway_pause", "service", partial(services.pause_service, module="gateway"), 2, 4.5),
    FaultKind("relay_kill", "relay", partial(services.kill_service, module="relay"), 0.2, 2),
    FaultKind("relay_term", "relay", partial(services.terminate_service, module="relay"), 0.2, 1),
    # Longer than the lease of a relay (3 s).
    FaultKind("relay_pause", "relay", partial(services.pause_service, module="relay"), 4, 7),
    FaultKind("relay_nats_cut", "relay", partial(break_links, server="nats", how=ANY, modules=RELAY), 2, 6),
    FaultKind("relay_mongo_cut", "relay", partial(break_links, server="mongo", how=ANY, modules=RELAY), 2, 6),
    FaultKind("webhooks_kill", "webhooks", partial(services.kill_service, module="webhooks"), 0.2, 2),
    FaultKind("webhooks_term", "webhooks", partial(services.terminate_service, module="webhooks"), 0.2, 1),
    # Longer than an attempt (3 s).
    FaultKind("webhooks_pause", "webhooks", partial(services.pause_service, module="webhooks"), 4, 7),
    FaultKind(
        "webhooks_nats_cut", "webhooks", partial(break_links, server="nats", how=ANY, modules=WEBHOOKS), 2, 6
    ),
    FaultKind("nats_kill_stream_leader", "nats", servers.kill_stream_leader),
    FaultKind("nats_delete_stream", "nats", servers.delete_stream, 0, 0),
    FaultKind("nats_kill", "nats", servers.kill_nats_node),
    FaultKind("nats_restart_all", "nats", servers.kill_all_nats, 0.2, 1.5),
    FaultKind("nats_cut", "nats", partial(break_links, server="nats", how=(CUT,))),
    FaultKind("nats_delay", "nats", partial(break_links, server="nats", how=(DELAYED,))),
    FaultKind("nats_swallow", "nats", partial(break_links, server="nats", how=(REQUESTS_LOST,))),
    FaultKind("nats_deaf_member", "nats", deaf_member, 2, 4),
    FaultKind("nats_lose_first_attempts", "nats", lose_first_attempts, 2, 4),
    FaultKind("nats_answer_late", "nats", answer_late, 2, 4),
    FaultKind("nats_malformed", "nats", send_malformed, 2, 4),
    FaultKind("mongo_kill_primary", "mongo", servers.kill_primary, 2, 5),
    FaultKind("mongo_stepdown", "mongo", servers.step_down, 3, 4),
    FaultKind("mongo_isolate_primary", "mongo", servers.isolate_primary, 6, 9),
    FaultKind("mongo_cut", "mongo", partial(break_links, server="mongo", how=(CUT,))),
    FaultKind("mongo_delay", "mongo", partial(break_links, server="mongo", how=(DELAYED,))),
    FaultKind("mongo_stall", "mongo", partial(break_links, server="mongo", how=(HANGING,)), 1, 8),
    FaultKind("mongo_swallow", "mongo", partial(break_links, server="mongo", how=(REPLIES_LOST,)), 1, 6),
    FaultKind("mongo_cut_off_worker", "mongo", cut_off_worker, 3, 8),
    FaultKind("mongo_fail_commands", "mongo", servers.fail_commands, 2, 4),
    FaultKind("redis_kill", "redis", servers.kill_redis),
    FaultKind("redis_flush", "redis", redis.flush_redis, 0, 0),
    FaultKind("redis_pause", "redis", redis.pause_redis, 1, 6),
    FaultKind("redis_evict", "redis", redis.starve_redis),
    FaultKind("redis_clock_jump", "redis", redis.move_redis_clock),
    # It loses no hold, so it does not excuse a broken hold.
    FaultKind("redis_slow", "redis", slow_redis, 2, 4),
    FaultKind("redis_partition", "redis", partial(break_links, server="redis", how=ANY), 1, 5),
)
FAULT_KINDS = {kind.name: kind for kind in _ALL}
