"""JSON with a duplicate name is refused, because two parsers would read different values."""

import json
from typing import Any

import pytest

from shared.contract.commands import AskReady, BookAppointment, MoveRequest, ReleaseHold
from shared.contract.errors import InvalidRequest
from shared.contract.many import many_of, one_of_many, read_many
from shared.contract.parsing import parse_command, validate

SLOT = '"slot":"2030-01-07T09:00Z"'
BOOKING = f'{SLOT},"patientName":"Ada"'
CANARY = "Zebra Canary"


@pytest.mark.parametrize(
    ("model", "text", "sentence"),
    [
        (BookAppointment, f"{{{BOOKING},{SLOT}}}", "Duplicate field slot"),
        (BookAppointment, f'{{{BOOKING},"resources":["a"],"resources":null}}', "Duplicate field resources"),
        (BookAppointment, f'{{{BOOKING},"colour":1,"colour":1}}', "Duplicate field colour"),
        (BookAppointment, f'{{{BOOKING},"\\u0073lot":"2030-01-07T09:00Z"}}', "Duplicate field slot"),
        (BookAppointment, f'{{{BOOKING},"{CANARY}":1,"{CANARY}":1}}', "Duplicate field"),
        (BookAppointment, f'{{{BOOKING},"{"x" * 32}":1,"{"x" * 32}":1}}', f"Duplicate field {'x' * 32}"),
        (BookAppointment, f'{{{BOOKING},"{"x" * 33}":1,"{"x" * 33}":1}}', "Duplicate field"),
        (MoveRequest, f"{{{SLOT},{SLOT}}}", "Duplicate field slot"),
        (ReleaseHold, f"{{{SLOT},{SLOT}}}", "Duplicate field slot"),
        (AskReady, '{"a":1,"a":1}', "Duplicate field a"),
        (many_of(BookAppointment), '{"commands":[{}],"commands":[{}]}', "Duplicate field commands"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_duplicate_name_is_refused(model: Any, text: str, sentence: str) -> None:
    """The sentence names the field, unless its name could be a patient's."""
    with pytest.raises(InvalidRequest) as caught:
        parse_command(model, text.encode())
    assert caught.value.text == sentence


@pytest.mark.parametrize("field", ["slot", "resources", "patientName"])
@pytest.mark.parametrize("value", ['{"a":1,"a":2}', '[{"a":1,"a":2}]'])
def test_duplicate_name_within_a_field_is_refused(field: str, value: str) -> None:
    """No field takes an object, so a duplicate name is refused at any depth."""
    with pytest.raises(InvalidRequest, match=f"^{field} must"):
        parse_command(BookAppointment, _with(field, value))


def _with(field: str, value: str) -> bytes:
    body = {"slot": '"2030-01-07T09:00Z"', "patientName": '"Ada"', field: value}
    return f"{{{','.join(f'{json.dumps(name)}:{text}' for name, text in body.items())}}}".encode()


@pytest.mark.parametrize(
    "wrong",
    [f'{{"command":{{{BOOKING},{SLOT}}}}}', f'{{"command":{{{BOOKING}}},"command":{{{BOOKING}}}}}'],
    ids=["in the command", "in its envelope"],
)
def test_duplicate_name_in_a_batch_refuses_only_its_command(wrong: str) -> None:
    """The batch is read, and only the command with the duplicate name is refused."""
    right = f'{{"command":{{{BOOKING}}}}}'
    first, second, third = read_many(f'{{"commands":[{right},{wrong},{right}]}}'.encode())
    model = one_of_many(BookAppointment)
    for one in (first, third):
        assert validate(model, one).command.patientName == "Ada"
    with pytest.raises(InvalidRequest, match="^Duplicate field (slot|command)$"):
        validate(model, second)


def test_equal_names_in_different_objects_are_no_duplicate() -> None:
    """Every command of a batch has its own slot."""
    text = f'{{"commands":[{{"command":{{{BOOKING}}}}},{{"command":{{{BOOKING}}}}}]}}'
    assert len(read_many(text.encode())) == 2
