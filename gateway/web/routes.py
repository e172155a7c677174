"""Serve the pages for people, and their files."""

from collections.abc import Collection

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from gateway.web.assets import Assets
from gateway.web.languages import choose_language
from gateway.web.pages import Page, PageRenderer

PAGES = (
    Page("/", "sites", preload="api/sites"),
    Page("/book/{site}", "book", preload="api/schedules/{site}", embeddable=True),
    Page("/appointments/{id}", "appointment"),
    Page("/day/{site}", "day", preload="api/schedules/{site}"),
)
PROOF, PHONE = Page("/proof", "proof"), Page("/sms", "sms")
"""Pages for show, which only a demonstration has."""
EMBED = "book/embed.js"
"""The script by which pages of other sites show the patient's page."""


def register(
    app: FastAPI,
    page_key: str = "",
    origins: Collection[str] = (),
    *,
    demo_pages: bool = False,
    has_phone: bool = False,
) -> None:
    """Add the pages, and `/web/` with their files; `PROOF` and `PHONE` only if they are wanted."""
    assets = Assets()
    pages = [*PAGES, *([PROOF] if demo_pages else []), *([PHONE] if has_phone else [])]
    renderer = PageRenderer(assets, pages, page_key, origins)
    for page in pages:
        _add_page(app, page, renderer)

    @app.get("/web/embed.js", include_in_schema=False)
    async def embed(request: Request) -> Response:
        return _found(assets.response("", EMBED, request.headers))

    @app.get("/web/{version}/{path:path}", include_in_schema=False)
    async def asset(request: Request, version: str, path: str) -> Response:
        return _found(assets.response(version, path, request.headers))


def _add_page(app: FastAPI, page: Page, renderer: PageRenderer) -> None:
    policy = {"Content-Security-Policy": renderer.policy(page), "Cache-Control": "no-cache"}

    @app.get(page.path, include_in_schema=False)
    async def show(request: Request) -> Response:
        asked = request.headers
        language = choose_language(request.query_params.get("lang"), asked.get("Accept-Language", ""))
        html = renderer.render(page, language, request.path_params.get("site", ""))
        return html.response(asked, {**policy, "Content-Language": language}, "Accept-Language")


def _found(response: Response | None) -> Response:
    if response is None:
        raise HTTPException(404)
    return response
