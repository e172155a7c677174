"""AsyncAPI describes the subjects, from the subscribers that serve them."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import booking_worker.handlers
import hold_worker.handlers
from shared.contract import subjects
from shared.contract.examples import EXAMPLES
from shared.contract.many import Many
from shared.worker.asyncapi import describe
from shared.worker.subscriptions import Subscription, subscriptions_of

COMMITTED = Path(__file__).parents[2] / "gateway" / "asyncapi.json"
SUBSCRIPTIONS = [
    each
    for handlers in (booking_worker.handlers, hold_worker.handlers)
    for each in subscriptions_of(handlers.register)
]
DOCUMENT = describe(SUBSCRIPTIONS)
MESSAGES = DOCUMENT["components"]["messages"]
by_subject = pytest.mark.parametrize("each", SUBSCRIPTIONS, ids=lambda each: each.subject)


def messages_of(channel: str) -> list[dict[str, Any]]:
    references = DOCUMENT["channels"][channel]["messages"]
    return [MESSAGES[reference["$ref"].rpartition("/")[2]] for reference in references.values()]


def is_valid(schema: dict[str, Any], value: object) -> bool:
    whole = {**schema, "components": DOCUMENT["components"]}
    return bool(jsonschema.Draft202012Validator(whole).is_valid(value))


def test_the_committed_document_is_that_of_the_subscribers() -> None:
    """Who reads gateway/asyncapi.json reads what the workers take; `make documents` writes it."""
    assert json.loads(COMMITTED.read_text()) == DOCUMENT


@by_subject
def test_each_subject_is_described_with_its_command(each: Subscription) -> None:
    """A subject has its address, its queue group, the fields of its command, and a reply."""
    operation = DOCUMENT["operations"][each.subject]
    assert DOCUMENT["channels"][each.subject]["address"] == each.subject
    (message,) = messages_of(each.subject)
    assert message["payload"] == {"$ref": f"#/components/schemas/{each.takes.__name__}"}
    schema = DOCUMENT["components"]["schemas"][each.takes.__name__]
    assert set(schema["properties"]) == {
        field.alias or name for name, field in each.takes.model_fields.items()
    }
    # Whether it is ready is asked of every worker, all else of one of them.
    expected = None if each.subject.endswith(".ready") else f"{each.subject.partition('.')[0]}_worker"
    assert operation.get("bindings", {}).get("nats", {}).get("queue") == expected
    assert operation["summary"]
    assert len(operation["reply"]["messages"]) == 2


@by_subject
def test_each_reply_is_what_the_handler_answers(each: Subscription) -> None:
    """The body that the document shows is of the type that the handler returns."""
    reply = type(EXAMPLES[each.one].reply)
    assert each.answers in {reply, None}
    assert (each.answers is None) == issubclass(each.takes, Many) == (each.subject in subjects.MANY)


@by_subject
def test_each_example_is_what_its_schema_says(each: Subscription) -> None:
    """Who sends what the document shows sends what is accepted, and may expect what it shows of replies."""
    for channel in (each.subject, f"{each.subject}.reply"):
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
    (message,) = messages_of(subjects.BOOK)
    assert not is_valid(message["payload"], {"slot": "2030-01-07T09:00:00Z"})
