"""Windows and cursors that are refused, and the limits of a window."""

import base64
from typing import Any

import pytest
from nats.aio.client import Client

from shared.contract.commands import ListAppointments
from shared.contract.errors import InvalidRequest
from tests.integration.life import Life
from tests.integration.test_windows import LIST, SLOTS, at, soon, window
from tests.integration.use_cases import UseCases
from tests.slots import fresh_site


@pytest.fixture
def life(nats_connection: Client) -> Life:
    return Life(nats_connection)


def forged_cursors() -> list[str]:
    """Return cursors that no page returns, though Python parses their number and name, or their base64."""

    def encoded(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    texts = [
        "1_0/a",
        " 10 /a",
        "10/ a",
        "+10/a",
        "010/a",
        "-0/a",
        "1e3/a",
        "10",
        "10/",
        "/a",
        "10/a/b",
        "\N{FULLWIDTH DIGIT ONE}/a",
    ]
    texts += ["99999999999999999999/a", "253402300800000/a", "-62135596800001/a", "10/a\n", "10/" + "a" * 65]
    true = encoded("10/ab")
    assert true == "MTAvYWI"
    return [*map(encoded, texts), "MTAvYWJ", f"{true}=", f"{true}A"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"to": at(0)}, "to"),
        ({"to": "2031-06-05T00:00:00.001Z"}, "32 days"),
        ({"from": None}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"resource": ""}, "resource"),
        ({"resource": []}, "resource"),
        ({"resource": ["a", "a"]}, "resource"),
        ({"resource": ["a", 1]}, "resource"),
        ({"resource": [f"r{number}" for number in range(101)]}, "resource"),
        ({"cursor": "!"}, "cursor"),
        ({"cursor": "4711"}, "cursor"),
        *(({"cursor": cursor}, "cursor") for cursor in forged_cursors()),
        ({"limit": 5}, "limit"),
    ],
    ids=str,
)
async def test_an_invalid_window_is_refused(life: Life, wrong: dict[str, Any], named: str) -> None:
    """An invalid window, resource or cursor gets 400 that names the field, for list and slots."""
    for subject in (LIST, SLOTS):
        answer = await life.request(subject, {**window("site"), **wrong})
        assert answer.status == 400
        assert named in answer.error


async def test_a_window_may_have_the_first_or_the_last_days_of_time(life: Life) -> None:
    """A window may begin in year 1 and end in year 9999."""
    for first, last in (("0001-01-01", "0001-01-20"), ("9999-12-01", "9999-12-31")):
        asked = {"site": fresh_site(), "from": f"{first}T00:00:00Z", "to": f"{last}T00:00:00Z"}
        assert (await life.request(LIST, asked)).body == {"appointments": []}


async def test_a_window_is_32_days_at_most(life: Life) -> None:
    """A window may have 32 days, so that a month with an extra hour fits into one."""
    asked = {"site": fresh_site(), "from": "2031-10-01T00:00:00+02:00", "to": "2031-11-01T00:00:00+01:00"}
    for last in (asked["to"], "2031-11-02T00:00:00+02:00"):
        for subject in (LIST, SLOTS):
            assert (await life.request(subject, {**asked, "to": last})).status == 200


async def test_a_forged_cursor_is_refused(use_cases: UseCases) -> None:
    """A cursor that is not the `next` of a page is refused by the use case too."""
    asked = ListAppointments.model_validate(window(fresh_site(), cursor="bm9uZQ"))
    with pytest.raises(InvalidRequest, match="cursor"):
        await use_cases.reads.list_appointments(asked, soon())
