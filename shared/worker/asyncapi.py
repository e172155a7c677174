"""The AsyncAPI document of the subjects, made of the operations.

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
from shared.contract.operation import Operation
from shared.contract.operations import OPERATIONS
from shared.contract.schemas import schemas_of
from shared.contract.version import VERSION
from shared.worker.asyncapi_events import EVENT_CHANNEL, event_channel, event_messages, event_operation
from shared.worker.asyncapi_messages import Subject, refused, reply_of, request_to, subjects_of

Json = dict[str, Any]
DESCRIPTION = """Each subject takes a JSON object, a request of NATS, and answers it by one reply.

A refusal says its name for programs in the header `Error-Type`. A command that a worker meets after its
`Deadline` is not executed. What goes to a subject that ends in `_many` travels together, no more:
each command is judged and answered by itself.

Every change of a booking is also an event in the JetStream stream `EVENTS`."""


def describe(operations: Sequence[Operation[Any, Any]]) -> Json:
    """The document: a channel, an operation and the messages of each subject."""
    messages = {"Refused": refused()}
    channels: Json = {}
    described: Json = {}
    models: set[type[BaseModel]] = {ErrorBody}
    for subject in sorted(subjects_of(operations), key=lambda each: each.address):
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
    messages |= event_messages()
    models |= {EventData}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Booking service over NATS", "version": VERSION, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": described,
        "components": {"messages": messages, "schemas": schemas_of(models)},
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
