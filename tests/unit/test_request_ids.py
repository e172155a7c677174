"""The ids in messages: bound request ids, and keys that the client generates."""

from uuid import RFC_4122, UUID

import pytest
from structlog.contextvars import bound_contextvars

from shared.client.request_ids import bound_request_id
from shared.contract.fields import random_uuid

ID = UUID("3f6c2f0e-5b0a-4c55-9d0b-6a1f5c1f2a77")


@pytest.mark.parametrize(
    ("bound", "sent"),
    [
        (str(ID), str(ID)),
        (ID, str(ID)),
        ("0f3a99b1", "0f3a99b1"),
        ("", None),
        (4711, None),
        ("Ada Lovelace", None),
        ('0f3a99b1","command":{}},{"command":{"id":"', None),
    ],
)
def test_bound_request_id_is_sent_only_if_it_is_valid(bound: str | UUID | int, sent: str | None) -> None:
    """A bound `request_id` cannot break a message or inject another command."""
    with bound_contextvars(request_id=bound):
        assert bound_request_id() == sent
    assert bound_request_id() is None


def test_generated_key_is_a_random_uuid() -> None:
    """Every key is a distinct UUID of version 4 in canonical form, because a hold token must be one."""
    made = {random_uuid() for _ in range(1000)}
    assert len(made) == 1000
    for text in made:
        assert str(UUID(text)) == text
        assert (UUID(text).version, UUID(text).variant) == (4, RFC_4122)
