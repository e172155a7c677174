"""The phone for text messages of a local stack."""

from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.integration.local_stack.stack import LocalStack, shown


def text(stack: LocalStack, to: str, text: str) -> str:
    """Send a text of the page, and return the reply."""
    sent = {"id": uuid4().hex, "phone": "+4915112345678", "to": to, "text": text}
    answer = httpx.post(f"{stack.url}/sms/texts", json=sent, timeout=20)
    assert answer.status_code == 200, answer.text
    reply: str = answer.json()["reply"]
    return reply


@pytest.mark.parametrize("secure", ["0", "1"])
def test_new_stack_has_a_phone_that_books(data: Path, secure: str) -> None:
    """`make up` prints the page; its phone books at the demo site, and is known after a restart."""
    stack = LocalStack(data, SECURE=secure).ready()
    assert shown(stack.output, "Book by text message") == f"{stack.url}/sms"
    assert httpx.get(f"{stack.url}/sms").status_code == 200
    lines = httpx.get(f"{stack.url}/sms/texts").json()["numbers"]
    assert [(each["site"], each["language"]) for each in lines] == [("demo", "en"), ("demo", "de")]
    english = lines[0]["number"]
    assert text(stack, english, "hi").startswith("Free times:\n1 ")
    assert text(stack, english, "1").startswith("Held 5 min")
    assert text(stack, english, "OK").startswith("Booked: ")
    assert "nats_permission_denied" not in Path(data, "logs", "gateway-1.log").read_text()
    assert (data / "sms-secret").stat().st_mode & 0o777 == 0o600
    stack.stop()
    again = LocalStack(data, SECURE=secure).ready()
    assert text(again, english, "LIST").startswith("Your appointments:\n1 ")
    assert httpx.post(f"{again.url}/api/sms", data={"Body": "hi"}).status_code == 404
    again.stop()
