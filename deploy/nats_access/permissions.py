"""The least permissions of the users of NATS.

A permission for a subscription with a queue group allows that group alone, so that a worker cannot listen to
the commands of other workers. Replies are allowed by `allow_responses`: one for each received message, which
may be the reply to a batch.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from shared.contract import audit
from shared.contract.deadline import LONGEST_TIMEOUT_SECONDS
from shared.contract.events import STREAM, SUBJECTS, consumer_of
from shared.contract.operation import BOOKING_GROUP, HOLD_GROUP, Operation
from shared.contract.operations import BOOKING_READY, GET, HISTORY, HOLD_READY, OPERATIONS
from shared.contract.schedule_operations import GET as GET_SCHEDULE
from shared.process.nats_access import EVENTS_API, GATEWAY, NOTIFY, PREFIX, SERVICE, inbox_prefix

Config = dict[str, Any]

BOOKING_WORKER, HOLD_WORKER, RELAY, WEBHOOKS = BOOKING_GROUP, HOLD_GROUP, "relay", "webhooks"
OPERATOR = "operator"
"""A person who reads the audit, and backs up and repairs streams. A stream may store any subject."""
USERS = {
    "gateway": GATEWAY,
    "booking_worker": BOOKING_WORKER,
    "hold_worker": HOLD_WORKER,
    "booking_worker.events": RELAY,
    "gateway.webhooks": WEBHOOKS,
    "gateway.notify": NOTIFY,
}
"""The user of each service, by its module."""
HINTS, EVERY_HINT = "hint.v1.*.hold", "hint.v1.>"
WEBHOOK_TEST = "webhook.v1.test"
WEBHOOK_BUCKET, DELIVERY_BUCKET = "webhooks", "webhook_deliveries"
SMS_BUCKETS = ("sms_conversations", "sms_opt_out")
OPT_OUT_BUCKET = SMS_BUCKETS[1]
NOTICE_BUCKETS = ("notices", "notices_sent")
REPLY_MARGIN_SECONDS = 10
_API = "$JS.API"
_READY = (BOOKING_READY, HOLD_READY)


def subjects(operations: Iterable[Operation[Any, Any]] = OPERATIONS) -> list[str]:
    """Return all subjects of operations, those of batches included."""
    return [
        subject
        for each in operations
        for subject in (each.subject, *([each.many_subject] if each.batched else []))
    ]


def addresses(account: str, user: str) -> list[str]:
    """Return the subjects of a user's commands; `*` stands for any account or user."""
    return [f"{PREFIX}.{account}.{user}.{subject}" for subject in subjects()]


def client(id: str, *, events: bool) -> Config:
    """Return the permissions of a direct client: its commands, the replies to it, and perhaps its events."""
    return _permissions(id, publish=[*addresses(id, id), *(_reading(id) if events else [])])


def services() -> dict[str, Config]:
    """Return the permissions of each user of the services."""
    both_buckets = [*_bucket(WEBHOOK_BUCKET), *_bucket(DELIVERY_BUCKET)]
    purge = f"{_API}.STREAM.PURGE.KV_{DELIVERY_BUCKET}"
    return {
        GATEWAY: _permissions(
            GATEWAY,
            publish=[
                *addresses(SERVICE, GATEWAY),
                WEBHOOK_TEST,
                *both_buckets,
                purge,
                *(subject for bucket in SMS_BUCKETS for subject in _own_bucket(bucket)),
            ],
            subscribe=[SUBJECTS, EVERY_HINT],
        ),
        BOOKING_WORKER: _worker(BOOKING_WORKER, BOOKING_READY),
        HOLD_WORKER: _worker(HOLD_WORKER, HOLD_READY),
        RELAY: _permissions(
            RELAY,
            publish=[
                SUBJECTS,
                audit.SUBJECTS,
                *(
                    f"{_API}.STREAM.{action}.{stream}"
                    for stream in (STREAM, audit.STREAM)
                    for action in ("CREATE", "INFO", "UPDATE")
                ),
                *_consumers(STREAM),
                f"{_API}.CONSUMER.LIST.{STREAM}",
            ],
        ),
        WEBHOOKS: _permissions(
            WEBHOOKS,
            publish=[
                *_consumers(STREAM),
                f"$JS.ACK.{STREAM}.>",
                *both_buckets,
                *(f"{_API}.STREAM.CREATE.KV_{bucket}" for bucket in (WEBHOOK_BUCKET, DELIVERY_BUCKET)),
            ],
            subscribe=[f"{WEBHOOK_TEST} {WEBHOOKS}"],
            responds=True,
        ),
        NOTIFY: _permissions(
            NOTIFY,
            publish=[
                *(f"{PREFIX}.{SERVICE}.{NOTIFY}.{each.subject}" for each in (GET, HISTORY, GET_SCHEDULE)),
                *_durable(STREAM, NOTIFY),
                *_durable(audit.STREAM, NOTIFY),
                *(subject for bucket in NOTICE_BUCKETS for subject in _own_bucket(bucket)),
                f"{_API}.STREAM.PURGE.KV_{NOTICE_BUCKETS[0]}",
                *_readable_bucket(OPT_OUT_BUCKET),
            ],
        ),
        OPERATOR: _permissions(
            OPERATOR, publish=["$JS.>", "$KV.>"], subscribe=[SUBJECTS, audit.SUBJECTS, EVERY_HINT]
        ),
    }


def exports(readers: Iterable[str]) -> list[Config]:
    """Return the services that clients import; `readers` are the ids of the clients that read events.

    Several workers answer a question whether they are ready, and a consumer answers with several events.
    """
    ready = {operation.subject for operation in _READY}
    return [
        {
            "service": f"{PREFIX}.*.*.{subject}",
            "account_token_position": 2,
            "response_type": "Stream" if subject in ready else "Singleton",
        }
        for subject in subjects()
    ] + [
        {"service": subject, "accounts": [reader], "response_type": "Stream"}
        for reader in readers
        for subject in _reading(reader).values()
    ]


def imports(account: str, *, events: bool) -> list[Config]:
    """Return the imports of a client's account: the services, under the name of the account."""
    commands = [{"service": {"account": SERVICE, "subject": each}} for each in addresses(account, "*")]
    reading = _reading(account) if events else {}
    return commands + [
        {"service": {"account": SERVICE, "subject": subject}, "to": own} for own, subject in reading.items()
    ]


def _reading(id: str) -> dict[str, str]:
    """Return the subjects that read the events of a client's own consumer, which the relay creates.

    The keys are the subjects that the client uses: each account answers `$JS.API` itself.
    """
    consumer = f"{STREAM}.{consumer_of(id)}"
    actions = (f"CONSUMER.INFO.{consumer}", f"CONSUMER.MSG.NEXT.{consumer}")
    acknowledge = f"$JS.ACK.{consumer}.>"
    return {f"{EVENTS_API}.{action}": f"{_API}.{action}" for action in actions} | {acknowledge: acknowledge}


def _worker(group: str, ready: Operation[Any, Any]) -> Config:
    """Return the permissions of a worker, which also asks its peers whether they are ready."""
    served = subjects(operation for operation in OPERATIONS if operation.group == group)
    return _permissions(
        group,
        publish=[f"{PREFIX}.{SERVICE}.{group}.{ready.subject}", HINTS],
        subscribe=[
            *(f"{PREFIX}.*.*.{subject} {group}" for subject in served),
            f"{PREFIX}.*.*.{ready.subject}",
        ],
        responds=True,
    )


def _permissions(
    user: str, *, publish: Sequence[str], subscribe: Sequence[str] = (), responds: bool = False
) -> Config:
    expires = f"{LONGEST_TIMEOUT_SECONDS + REPLY_MARGIN_SECONDS:.0f}s"
    responses = {"allow_responses": {"max": 1, "expires": expires}} if responds else {}
    return {
        "publish": {"allow": list(publish)},
        "subscribe": {"allow": [f"{inbox_prefix(user)}.>", *subscribe]},
        **responses,
    }


def _bucket(bucket: str) -> list[str]:
    """Return the subjects of a key-value bucket: a list of its keys is a consumer of its stream."""
    stream = f"KV_{bucket}"
    return [
        f"$KV.{bucket}.>",
        f"{_API}.STREAM.INFO.{stream}",
        f"{_API}.STREAM.MSG.GET.{stream}",
        f"{_API}.DIRECT.GET.{stream}.>",
        *_consumers(stream),
        f"$JS.FC.{stream}.>",
    ]


def _own_bucket(bucket: str) -> list[str]:
    """Return the subjects of a key-value bucket that its user also creates."""
    return [*_bucket(bucket), f"{_API}.STREAM.CREATE.KV_{bucket}"]


def _readable_bucket(bucket: str) -> list[str]:
    """Return the subjects that read the entries of a key-value bucket, or create it empty."""
    actions = ("INFO", "MSG.GET", "CREATE")
    stream = f"KV_{bucket}"
    return [*(f"{_API}.STREAM.{action}.{stream}" for action in actions), f"{_API}.DIRECT.GET.{stream}.>"]


def _durable(stream: str, consumer: str) -> list[str]:
    """Return the subjects of one durable consumer of a stream, which its user creates."""
    return [
        f"{_API}.CONSUMER.CREATE.{stream}.{consumer}",
        f"{_API}.CONSUMER.CREATE.{stream}.{consumer}.>",
        *(f"{_API}.CONSUMER.{action}.{stream}.{consumer}" for action in ("INFO", "MSG.NEXT")),
        f"$JS.ACK.{stream}.{consumer}.>",
    ]


def _consumers(stream: str) -> list[str]:
    """Return the subjects that create, read and delete the consumers of a stream."""
    return [
        f"{_API}.CONSUMER.CREATE.{stream}",
        f"{_API}.CONSUMER.CREATE.{stream}.>",
        *(f"{_API}.CONSUMER.{action}.{stream}.*" for action in ("INFO", "DELETE", "MSG.NEXT")),
    ]
