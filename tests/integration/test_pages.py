"""The pages that show the API: everything they need comes from the gateway itself."""

import json
import re
from pathlib import Path

import httpx
import pytest

DOCUMENTS = Path(__file__).parents[2] / "gateway" / "docs"
COMMITTED = {name: json.loads((DOCUMENTS / name).read_text()) for name in ("openapi.json", "asyncapi.json")}
ELSEWHERE = re.compile(r"""(?:src|href|url)\s*[=:]\s*["'](?:[a-z]+:)?//""", re.IGNORECASE)
NAMED = re.compile(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""")


@pytest.mark.parametrize(("page", "document"), [("/docs", "openapi.json"), ("/asyncapi", "asyncapi.json")])
async def test_a_page_needs_no_other_host(http: httpx.AsyncClient, page: str, document: str) -> None:
    """Where there is no internet the page is the same: whatever it names is answered by the gateway."""
    html = (await http.get(page)).text
    assert "://" not in html
    assert not ELSEWHERE.search(html)
    named = set(NAMED.findall(html))
    assert {name.partition("/")[0] for name in named} <= {"docs", "asyncapi", document}
    assert document in named
    assert any(name.endswith(".js") for name in named)
    for name in named:
        asset = await http.get(f"/{name}")
        assert asset.status_code == 200
        assert asset.content


async def test_the_documents_are_those_that_are_committed(http: httpx.AsyncClient) -> None:
    """The gateway serves what stands in the repository, of HTTP and of NATS."""
    for name, committed in COMMITTED.items():
        assert (await http.get(f"/{name}")).json() == committed


def test_control_another_host_is_found() -> None:
    """What FastAPI's own page names is noticed."""
    assert ELSEWHERE.search('<script src="https://cdn.example/swagger-ui-bundle.js">')
    assert ELSEWHERE.search("url: '//cdn.example/openapi.json'")
