"""The AsyncAPI document of the subjects, made of the subscribers that serve them.

python -m shared.worker.asyncapi booking_worker.handlers hold_worker.handlers
"""

import inspect
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from shared.contract.errors import ErrorBody
from shared.contract.examples import EXAMPLES
from shared.contract.schemas import schemas_of
from shared.contract.version import VERSION
from shared.worker.asyncapi_messages import refused, reply_of, request_of
from shared.worker.subscriptions import Subscription, subscriptions_of

Json = dict[str, Any]
DESCRIPTION = """Each subject takes a JSON object, a request of NATS, and answers it by one reply.

A refusal says its name for programs in the header `Error-Type`. A command that a worker meets after its
`Deadline` is not executed. What goes to a subject that ends in `_many` travels together, no more:
each command is judged and answered by itself."""


def describe(subscriptions: Sequence[Subscription]) -> Json:
    """The document: a channel, an operation and the messages of each subject."""
    ordered = sorted(subscriptions)
    messages = {"Refused": refused()}
    channels: Json = {}
    operations: Json = {}
    for each in ordered:
        command, reply = each.takes.__name__, f"{each.takes.__name__}Answered"
        messages[command], messages[reply] = request_of(each), reply_of(each)
        for address, channel, names in (
            (each.subject, each.subject, [command]),
            (None, f"{each.subject}.reply", [reply, "Refused"]),
        ):
            references = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
            channels[channel] = {"address": address, "messages": references}
        operations[each.subject] = _operation(each, command, [reply, "Refused"])
    models = {each.takes for each in ordered} | {type(EXAMPLES[each.one].reply) for each in ordered}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Booking service over NATS", "version": VERSION, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas_of({*models, ErrorBody})},
    }


def _operation(each: Subscription, command: str, replies: list[str]) -> Json:
    names = ", ".join(f"`{kind.__name__}` ({kind.status})" for kind in EXAMPLES[each.one].refusals)
    own = f" Its own refusals: {names}." if names else ""
    served = f"One worker of the group `{each.group}` answers." if each.group else "Every worker answers."
    reply_channel = f"#/channels/{each.subject}.reply"
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{each.subject}"},
        "title": each.subject,
        "summary": inspect.getdoc(each.one) or command,
        "description": served + own,
        "messages": [{"$ref": f"#/channels/{each.subject}/messages/{command}"}],
        "reply": {
            "channel": {"$ref": reply_channel},
            "messages": [{"$ref": f"{reply_channel}/messages/{name}"} for name in replies],
        },
        **({"bindings": {"nats": {"queue": each.group}}} if each.group else {}),
    }


def main() -> None:
    """Print the document of the subscribers that the modules named on the command line declare."""
    found = [each for name in sys.argv[1:] for each in subscriptions_of(import_module(name).register)]
    json.dump(describe(found), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
