"""The pages and their files, as the gateway serves them."""

import gzip
import json
import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from gateway.web.assets import STATIC, Assets
from gateway.web.joined import join_modules
from gateway.web.languages import LANGUAGES, choose_language
from gateway.web.routes import PAGES, register

PAGE = "/book/harbour"


@pytest.fixture
async def http() -> httpx.AsyncClient:
    return _client()


def _client(**options: object) -> httpx.AsyncClient:
    app = FastAPI()
    register(app, **options)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


def _files(html: str) -> list[str]:
    return re.findall(r'(?:href|src)="\.\./(web/[^"]+)"', html)


async def test_a_page_names_all_of_its_files(http: httpx.AsyncClient) -> None:
    """A browser loads all styles and modules of a page at once, for it need not read one to find the next."""
    html = (await http.get(PAGE)).text
    named = _files(html)
    assert any(name.endswith("joined/book.js") for name in named)
    for name in named:
        answer = await http.get(f"/{name}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]


async def test_no_page_has_an_inline_script_or_style(http: httpx.AsyncClient) -> None:
    """The policy of a page permits files of this gateway alone, and the page has no others."""
    for page in PAGES:
        answer = await http.get(page.path.replace("{site}", "harbour").replace("{id}", "x"))
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert not re.search(r"<style|\son\w+=|style=|<script>|https?://", answer.text)


async def test_only_the_patients_page_can_be_embedded_and_only_by_allowed_origins() -> None:
    """`frame-ancestors` names the allowed origins on the patient's page, and nobody elsewhere."""
    http = _client(origins=["https://clinic.example"])
    policy = (await http.get(PAGE)).headers["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors 'self' https://clinic.example")
    assert (await http.get("/")).headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")


async def test_a_page_has_the_publishable_key() -> None:
    """A page has the key of `PAGE_KEY`; without one it asks for its first data together with its files."""
    html = (await _client(page_key="pk_one_two").get(PAGE)).text
    assert '<meta name="api-key" content="pk_one_two">' in html
    assert 'rel="preload"' not in html
    assert 'href="../api/schedules/harbour"' in (await _client().get(PAGE)).text


@pytest.mark.parametrize(
    ("asked", "accepted", "expected"),
    [
        (None, "", "en"),
        (None, "de-AT,de;q=0.9,en;q=0.5", "de"),
        (None, "fr, en;q=0.4, de;q=0.7", "de"),
        (None, "de;q=0, en", "en"),
        (None, "de;q=x", "en"),
        ("de", "en", "de"),
        ("xx", "de", "de"),
    ],
)
def test_the_language_follows_the_reader(asked: str | None, accepted: str, expected: str) -> None:
    """The parameter `lang` comes first, then the header `Accept-Language` by its qualities, then English."""
    assert choose_language(asked, accepted) == expected


async def test_a_page_is_in_the_chosen_language(http: httpx.AsyncClient) -> None:
    """Language and direction are attributes of the page, and its texts come with it."""
    answer = await http.get(PAGE, headers={"Accept-Language": "de"})
    assert '<html lang="de" dir="ltr">' in answer.text
    assert answer.headers["Content-Language"] == "de"
    assert "Accept-Language" in answer.headers["Vary"]
    assert "Zum Inhalt" in answer.text


@pytest.mark.parametrize("folder", sorted({file.parent.name for file in STATIC.rglob("en.json")}))
def test_every_language_has_the_same_texts(folder: str) -> None:
    """No text and no value in it is missing in a language."""
    texts = {name: json.loads((STATIC / folder / f"{name}.json").read_text()) for name in LANGUAGES}
    for language, own in texts.items():
        assert own.keys() == texts["en"].keys(), language
        for key, text in own.items():
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", texts["en"][key])), key


async def test_a_known_file_is_not_sent_again(http: httpx.AsyncClient) -> None:
    """A request with the ETag of a file or page gets 304 without content."""
    for path in (PAGE, f"/web/{Assets().version}/common/style.css", "/web/embed.js"):
        first = await http.get(path)
        again = await http.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_files_are_compressed_for_browsers_that_ask(http: httpx.AsyncClient) -> None:
    """gzip is sent to those who accept it; others get the same content as it is."""
    path = f"/web/{Assets().version}/common/style.css"
    plain = await http.get(path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    async with http.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content


@pytest.mark.parametrize("path", ["..%2froutes.py", "%2e%2e/routes.py", "common/none.js", ""])
async def test_only_files_of_the_pages_are_served(http: httpx.AsyncClient, path: str) -> None:
    """A path that leaves the folder, or names no file, is 404."""
    assert (await http.get(f"/web/{Assets().version}/{path}")).status_code == 404


async def test_a_page_of_another_release_gets_files_that_it_does_not_keep(http: httpx.AsyncClient) -> None:
    """While releases change, a file is served under an old version too, but not for ever."""
    answer = await http.get("/web/000000000000/common/style.css")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")


def test_modules_are_joined_in_the_order_of_their_imports() -> None:
    """A joined script has the exports of each module before the modules that import them, and no import."""
    assets = Assets()
    modules = assets.modules_of("book/main.js")
    joined = join_modules(assets, modules)
    assert joined
    source = joined.content.decode()
    places = [source.index(f'$modules["{path}"] =') for path in modules]
    assert places == sorted(places)
    assert modules[-1] == "book/main.js"
    assert not re.search(r"^(import|export)\b", source, re.MULTILINE)
    for used in re.finditer(r'= \$modules\["([^"]+)"\];', source):
        assert source.index(f'$modules["{used[1]}"] =') < used.start()


def test_modules_with_other_exports_are_not_joined(tmp_path: Path) -> None:
    """A module that exports a list of names, as vendored ones do, stays a file, and so do the others."""
    (tmp_path / "vendored.js").write_text("const a = 1;\nexport { a as b };\n")
    (tmp_path / "main.js").write_text('import { b } from "./vendored.js";\nconsole.log(b);\n')
    assets = Assets(tmp_path)
    assert assets.modules_of("main.js") == ["vendored.js", "main.js"]
    assert join_modules(assets, ["vendored.js", "main.js"]) is None


async def test_pages_for_show_are_served_in_a_demonstration_only(http: httpx.AsyncClient) -> None:
    """`/proof` books real slots, so it exists with `DEMO_PAGES` alone."""
    assert (await http.get("/proof")).status_code == 404
    assert (await _client(demo_pages=True).get("/proof")).status_code == 200
