"""The hints of holds in the AsyncAPI document: one channel with one message."""

import json
from datetime import UTC, datetime
from typing import Any

from shared.contract.hints import HoldHint, hint_subject
from shared.contract.schemas import reference_to

Json = dict[str, Any]
HINT_CHANNEL = hint_subject("{site}")
_MESSAGE = "HoldChanged"
_PLACED = HoldHint(
    type="placed",
    site="harbour",
    resources=("dr-lee",),
    slot=datetime(2030, 1, 7, 9, tzinfo=UTC),
    durationMinutes=45,
    expiresAt=datetime(2029, 12, 1, 8, 20, 30, tzinfo=UTC),
)
_USED = HoldHint(type="used", site="harbour", resources=("dr-lee",))
_RELEASED = HoldHint(type="released", site="harbour")


def hint_channel() -> Json:
    """The channel of all hints."""
    return {
        "address": HINT_CHANNEL,
        "parameters": {"site": {"description": "The branch, or the tenant."}},
        "messages": {_MESSAGE: {"$ref": f"#/components/messages/{_MESSAGE}"}},
    }


def hint_operation() -> Json:
    """The publication of hints."""
    channel = f"#/channels/{HINT_CHANNEL.replace('{', '%7B').replace('}', '%7D')}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "title": "hints",
        "summary": "A hold was placed, extended, released or used.",
        "description": "On core NATS, best effort: a hint may be lost, and nothing stores it. It has neither "
        "a token nor a name. Read the slots again, and rely on that. A hold ends at `expiresAt` without one.",
        "messages": [{"$ref": f"{channel}/messages/{_MESSAGE}"}],
    }


def hint_messages() -> Json:
    """The message of a hint."""
    return {
        _MESSAGE: {
            "title": _MESSAGE,
            "contentType": "application/json",
            "payload": reference_to(HoldHint),
            "examples": [{"payload": json.loads(hint.body())} for hint in (_PLACED, _USED, _RELEASED)],
        }
    }
