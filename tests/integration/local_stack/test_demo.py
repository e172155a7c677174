"""The demo site of a local stack."""

from pathlib import Path

import httpx
import pytest

from tests.integration.local_stack.stack import LocalStack, shown


@pytest.mark.parametrize("secure", ["0", "1"])
def test_first_start_makes_a_demo_site_once(data: Path, secure: str) -> None:
    """A new stack prints the page of a site with doctors, a room and free slots; deleted, it stays away."""
    stack = LocalStack(data, SECURE=secure).ready()
    with httpx.Client(base_url=stack.url) as http:
        assert shown(stack.output, "Book in a browser") == f"{stack.url}/book/demo"
        assert http.get("/book/demo").status_code == 200
        assert http.get("/api/sites").json() == {"sites": ["demo"]}
        schedules = http.get("/api/schedules/demo").json()["schedules"]
        assert {each["resource"] for each in schedules} == {"dr-lee", "dr-khan", "room-1"}
        query = {"site": "demo", "service": "first-visit", "any": "1"}
        assert http.get("/api/next-free", params=query).json()["free"]
        for each in schedules:
            assert http.delete(f"/api/schedules/demo/{each['resource']}").status_code == 200
    stack.stop()
    again = LocalStack(data, SECURE=secure).ready()
    assert httpx.get(f"{again.url}/api/sites").json() == {"sites": []}
    assert shown(again.output, "Book in a browser") == f"{again.url}/"
    again.stop()
