"""The schedule of retries, and the signatures of a delivery."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.webhooks.delivery import ATTEMPTS, JITTER, retry_delay, signatures
from gateway.webhooks.endpoints import MOST_OLD_SECRETS, Secret, new_secret, new_webhook
from gateway.webhooks.messages import CreateWebhook

DAY = 24 * 60 * 60
AT = datetime(2030, 1, 7, 9, tzinfo=UTC)


def test_ten_attempts_take_about_three_days() -> None:
    """The delays between ten attempts grow, and are three days in all, give or take the jitter."""
    delays = [retry_delay(attempt, 5) for attempt in range(1, ATTEMPTS)]
    assert ATTEMPTS == 10
    assert 3 * DAY * (1 - JITTER) <= sum(delays) <= 3.2 * DAY * (1 + JITTER)
    assert 5 * (1 - JITTER) <= delays[0] <= 5 * (1 + JITTER)
    assert delays[-1] <= DAY * (1 + JITTER)


def test_delays_are_jittered() -> None:
    """Deliveries that failed together are not retried together."""
    assert len({retry_delay(9, 5) for _ in range(20)}) > 1


@pytest.mark.parametrize(("seconds", "count"), [(1, 2), (0, 1), (-1, 1)])
def test_old_secret_signs_until_its_end(seconds: int, count: int) -> None:
    """An old secret signs beside the new one, and not any more from its end on."""
    old = new_secret().model_copy(update={"until": AT + timedelta(seconds=seconds)})
    signed = signatures((new_secret(), old), "e0d5be10:1", AT, "{}").split(" ")
    assert len(signed) == count
    assert all(signature.startswith("v1,") for signature in signed)


def test_second_rotation_keeps_the_secret_whose_day_is_not_over() -> None:
    """Each old secret signs for a day after its rotation, at most four of them; an ended one is dropped."""
    first = new_webhook(CreateWebhook(url="https://example.org/"))
    second = first.rotated(AT)
    third = second.rotated(AT + timedelta(hours=23))
    assert [secret.text for secret in third.secrets[1:]] == [second.secrets[0].text, first.secrets[0].text]
    fourth = third.rotated(AT + timedelta(hours=25))
    assert [secret.text for secret in fourth.secrets[1:]] == [third.secrets[0].text, second.secrets[0].text]
    many = first
    for _ in range(10):
        many = many.rotated(AT)
    assert len(many.secrets) == 1 + MOST_OLD_SECRETS


def test_secrets_are_random_and_long() -> None:
    """A secret has 32 random bytes, as the specification asks for 24 to 64."""
    assert new_secret() != new_secret()
    assert isinstance(new_secret(), Secret)
    assert len(new_secret().text) == len("whsec_") + 44
