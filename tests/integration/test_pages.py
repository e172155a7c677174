"""The pages that document the API load everything from the gateway itself."""

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
    """A page works without internet: the gateway serves every script, style and document that it names."""
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


async def test_the_served_documents_are_the_committed_ones(http: httpx.AsyncClient) -> None:
    """The gateway serves exactly the committed OpenAPI and AsyncAPI documents."""
    for name, committed in COMMITTED.items():
        assert (await http.get(f"/{name}")).json() == committed


def test_control_another_host_is_found() -> None:
    """Control: the pattern finds a URL of another host, as FastAPI's own page has."""
    assert ELSEWHERE.search('<script src="https://cdn.example/swagger-ui-bundle.js">')
    assert ELSEWHERE.search("url: '//cdn.example/openapi.json'")
