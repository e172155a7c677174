"""Make the AsyncAPI document of all subjects from the operations.

python -m shared.worker.asyncapi
"""

import inspect
import json
import sys
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from shared.contract.errors import ErrorBody
from shared.contract.events import EventData
from shared.contract.hints import HoldHint
from shared.contract.operation import Operation
from shared.contract.operations import OPERATIONS
from shared.contract.schemas import schemas_of
from shared.contract.version import VERSION
from shared.worker.asyncapi_events import EVENT_CHANNEL, event_channel, event_messages, event_operation
from shared.worker.asyncapi_hints import HINT_CHANNEL, hint_channel, hint_messages, hint_operation
from shared.worker.asyncapi_messages import Subject, refused, reply_of, request_to, subjects_of

Json = dict[str, Any]
DESCRIPTION = """Every subject takes a JSON object as a NATS request, and answers with one reply.

The header `Error-Type` of a refusal is its name, for programs. A worker does not execute a command after its
`Deadline`. A subject that ends in `_many` takes a batch. A batch is not a transaction: every command is
decided and answered separately.

Every change of a booking is also an event in the JetStream stream `EVENTS`. Changes of holds are hints on
core NATS.

If NATS has accounts, a client authenticates with an nkey, and its subjects begin with
`acct.<account>.<user>.`: the file that `python -m deploy.nats_access` wrote for it has all of these."""
_SERVERS: Json = {
    "open": {
        "host": "localhost:4222",
        "protocol": "nats",
        "description": "NATS without accounts, on loopback or in a closed network.",
    },
    "closed": {
        "host": "localhost:4222",
        "protocol": "nats",
        "description": "NATS with accounts: no one connects without a key.",
        "security": [{"$ref": "#/components/securitySchemes/nkey"}],
    },
}
_NKEY: Json = {
    "type": "asymmetricEncryption",
    "description": "An nkey: the client signs the server's nonce with its Ed25519 seed.",
}


def describe(operations: Sequence[Operation[Any, Any]]) -> Json:
    """Return the document: a channel, an operation and the messages of every subject."""
    messages = {"Refused": refused()}
    channels: Json = {}
    described: Json = {}
    models: set[type[BaseModel]] = {ErrorBody}
    for subject in sorted(subjects_of(operations), key=lambda subject: subject.address):
        command, reply = subject.takes.__name__, f"{subject.takes.__name__}Answered"
        messages[command], messages[reply] = request_to(subject), reply_of(subject)
        models |= {subject.takes, subject.operation.reply}
        for address, channel, names in (
            (subject.address, subject.address, [command]),
            (None, f"{subject.address}.reply", [reply, "Refused"]),
        ):
            references = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
            channels[channel] = {"address": address, "messages": references}
        described[subject.address] = _operation(subject, command, [reply, "Refused"])
    channels[EVENT_CHANNEL], described["events"] = event_channel(), event_operation()
    channels[HINT_CHANNEL], described["hints"] = hint_channel(), hint_operation()
    messages |= event_messages() | hint_messages()
    models |= {EventData, HoldHint}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Booking service over NATS", "version": VERSION, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": _SERVERS,
        "channels": channels,
        "operations": described,
        "components": {
            "messages": messages,
            "schemas": schemas_of(models),
            "securitySchemes": {"nkey": _NKEY},
        },
    }


def _operation(subject: Subject, command: str, replies: list[str]) -> Json:
    operation = subject.operation
    names = ", ".join(f"`{kind.__name__}` ({kind.status})" for kind in operation.refusals)
    own = f" Its own refusals: {names}." if names else ""
    group = operation.group
    served = f"One worker of the group `{group}` answers." if group else "Every worker answers."
    reply_channel = f"#/channels/{subject.address}.reply"
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{subject.address}"},
        "title": subject.address,
        "summary": inspect.getdoc(operation.command) or command,
        "description": served + own,
        "messages": [{"$ref": f"#/channels/{subject.address}/messages/{command}"}],
        "reply": {
            "channel": {"$ref": reply_channel},
            "messages": [{"$ref": f"{reply_channel}/messages/{name}"} for name in replies],
        },
        **({"bindings": {"nats": {"queue": group}}} if group else {}),
    }


def main() -> None:
    """Print the document of all operations."""
    json.dump(describe(OPERATIONS), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
