"""AsyncAPI describes the subjects, from the operations that are asked at them."""

import json
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
by_subject = pytest.mark.parametrize("each", list(subjects_of(OPERATIONS)), ids=lambda each: each.address)


def messages_of(channel: str) -> list[dict[str, Any]]:
    references = DOCUMENT["channels"][channel]["messages"]
    return [MESSAGES[reference["$ref"].rpartition("/")[2]] for reference in references.values()]


def is_valid(schema: dict[str, Any], value: object) -> bool:
    whole = {**schema, "components": DOCUMENT["components"]}
    return bool(jsonschema.Draft202012Validator(whole).is_valid(value))


def test_the_committed_document_is_that_of_the_operations() -> None:
    """Who reads gateway/docs/asyncapi.json reads what the workers take; `make documents` writes it."""
    assert json.loads(COMMITTED.read_text()) == DOCUMENT


@by_subject
def test_each_subject_is_described_with_its_command(each: Subject) -> None:
    """A subject has its address, its queue group, the fields of its command, and a reply."""
    operation = DOCUMENT["operations"][each.address]
    assert DOCUMENT["channels"][each.address]["address"] == each.address
    (message,) = messages_of(each.address)
    assert message["payload"] == {"$ref": f"#/components/schemas/{each.takes.__name__}"}
    schema = DOCUMENT["components"]["schemas"][each.takes.__name__]
    assert set(schema["properties"]) == {
        field.alias or name for name, field in each.takes.model_fields.items()
    }
    # Whether it is ready is asked of every worker, all else of one of them.
    expected = None if each.address.endswith(".ready") else f"{each.address.partition('.')[0]}_worker"
    assert operation.get("bindings", {}).get("nats", {}).get("queue") == expected
    assert operation["summary"]
    assert len(operation["reply"]["messages"]) == 2


@by_subject
def test_each_example_is_what_its_schema_says(each: Subject) -> None:
    """Who sends what the document shows sends what is accepted, and may expect what it shows of replies."""
    for channel in (each.address, f"{each.address}.reply"):
        for message in messages_of(channel):
            assert message["examples"]
            for example in message["examples"]:
                assert is_valid(message["payload"], example["payload"])
                assert set(example.get("headers", ())) <= set(
                    message.get("headers", {}).get("properties", ())
                )


def test_a_message_of_many_is_described_down_to_its_commands() -> None:
    """The document says how many commands a message may have, and what each of them is."""
    schemas = DOCUMENT["components"]["schemas"]
    for many, one in (("BookMany", "BookAppointment"), ("PlaceMany", "PlaceHold")):
        commands = schemas[many]["properties"]["commands"]
        assert (commands["minItems"], commands["maxItems"]) == (1, 128)
        item = schemas[commands["items"]["$ref"].rpartition("/")[2]]
        assert set(item["properties"]) == {"askedAt", "command", "deadline", "first", "requestId"}
        assert item["properties"]["command"] == {"$ref": f"#/components/schemas/{one}"}


def test_control_a_wrong_example_is_found() -> None:
    """The check of examples does refuse."""
    (message,) = messages_of(BOOK.subject)
    assert not is_valid(message["payload"], {"slot": "2030-01-07T09:00:00Z"})
