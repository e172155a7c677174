"""The AsyncAPI document follows from the operations."""

import json
from operator import attrgetter
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.contract.operations import BOOK, OPERATIONS
from shared.worker.asyncapi import describe
from shared.worker.asyncapi_messages import Subject, subjects_of

COMMITTED = Path(__file__).parents[2] / "gateway" / "docs" / "asyncapi.json"
DOCUMENT = describe(OPERATIONS)
MESSAGES = DOCUMENT["components"]["messages"]
by_subject = pytest.mark.parametrize("subject", list(subjects_of(OPERATIONS)), ids=attrgetter("address"))


def messages_of(channel: str) -> list[dict[str, Any]]:
    references = DOCUMENT["channels"][channel]["messages"]
    return [MESSAGES[reference["$ref"].rpartition("/")[2]] for reference in references.values()]


def is_valid(schema: dict[str, Any], value: object) -> bool:
    whole = {**schema, "components": DOCUMENT["components"]}
    return bool(jsonschema.Draft202012Validator(whole).is_valid(value))


def test_committed_document_is_generated_from_the_operations() -> None:
    """gateway/docs/asyncapi.json describes the workers' operations; `make documents` writes it."""
    assert json.loads(COMMITTED.read_text()) == DOCUMENT


@by_subject
def test_subject_is_described_with_its_command(subject: Subject) -> None:
    """A subject has its address, its queue group, the fields of its command, and a reply."""
    operation = DOCUMENT["operations"][subject.address]
    assert DOCUMENT["channels"][subject.address]["address"] == subject.address
    (message,) = messages_of(subject.address)
    assert message["payload"] == {"$ref": f"#/components/schemas/{subject.takes.__name__}"}
    schema = DOCUMENT["components"]["schemas"][subject.takes.__name__]
    assert set(schema["properties"]) == {
        field.alias or name for name, field in subject.takes.model_fields.items()
    }
    # A `ready` request goes to every worker; any other goes to one worker of the queue group.
    worker = "hold_worker" if subject.address.startswith("hold.") else "booking_worker"
    expected = None if subject.address.endswith(".ready") else worker
    assert operation.get("bindings", {}).get("nats", {}).get("queue") == expected
    assert operation["summary"]
    assert len(operation["reply"]["messages"]) == 2


@by_subject
def test_examples_match_their_schemas(subject: Subject) -> None:
    """Every example of a command or reply, with its headers, is valid by the schema."""
    for channel in (subject.address, f"{subject.address}.reply"):
        for message in messages_of(channel):
            assert message["examples"]
            for example in message["examples"]:
                assert is_valid(message["payload"], example["payload"])
                assert set(example.get("headers", ())) <= set(
                    message.get("headers", {}).get("properties", ())
                )


@pytest.mark.parametrize("channel", ["event.v1.{site}.{type}", "hint.v1.{site}.hold"])
def test_published_channel_is_described_with_valid_examples(channel: str) -> None:
    """Events and hints have a channel, an operation that sends, and examples that their schemas accept."""
    assert DOCUMENT["channels"][channel]["address"] == channel
    encoded = channel.replace("{", "%7B").replace("}", "%7D")
    sending = [each for each in DOCUMENT["operations"].values() if each["action"] == "send"]
    assert [each["channel"]["$ref"] for each in sending].count(f"#/channels/{encoded}") == 1
    for message in messages_of(channel):
        assert message["examples"]
        for example in message["examples"]:
            assert is_valid(message["payload"], example["payload"])
            assert not {"holdToken", "token", "patientName"} & set(example["payload"])


def test_batch_schema_describes_its_commands() -> None:
    """The schema of a batch limits the number of commands and describes a command."""
    schemas = DOCUMENT["components"]["schemas"]
    for many, one in (("BookMany", "BookAppointment"), ("PlaceMany", "PlaceHold")):
        commands = schemas[many]["properties"]["commands"]
        assert (commands["minItems"], commands["maxItems"]) == (1, 128)
        item = schemas[commands["items"]["$ref"].rpartition("/")[2]]
        assert set(item["properties"]) == {"askedAt", "caller", "command", "deadline", "first", "requestId"}
        assert item["properties"]["command"] == {"$ref": f"#/components/schemas/{one}"}


def test_control_wrong_example_is_refused() -> None:
    """The schema check refuses an invalid example."""
    (message,) = messages_of(BOOK.subject)
    assert not is_valid(message["payload"], {"slot": "2030-01-07T09:00:00Z"})
