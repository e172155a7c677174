"""Serve the pages that show the API. They load nothing from another host."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response

from gateway.docs.assets import add_asset
from gateway.docs.policy import page_policy

ASYNCAPI = Path(__file__).with_name("asyncapi.json")
_SWAGGER, _VIEWER = "docs/assets", "asyncapi/assets"
_ASSETS = {
    _SWAGGER: ("fastapi_offline", ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")),
    _VIEWER: ("asyncapi_viewer", ("asyncapi-viewer.iife.js",)),
}
# The end of a page's path, and the relative path from the page to the root. A relative path also works behind
# a proxy that adds a prefix.
_TO_ROOT = {"": "", "/": "../"}
_ASYNCAPI_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Booking service over NATS</title>
<link rel="icon" href="{{root}}{_SWAGGER}/favicon.png">
<script src="{{root}}{_VIEWER}/asyncapi-viewer.iife.js" defer></script>
</head>
<body>
<asyncapi-viewer src="{{root}}asyncapi.json" sidebar>
<a href="{{root}}asyncapi.json">asyncapi.json</a>
</asyncapi-viewer>
</body>
</html>
"""


def add_pages(app: FastAPI) -> None:
    """Serve `/docs` of HTTP and `/asyncapi` of NATS, their scripts and styles, and `/asyncapi.json`."""

    for slash, root in _TO_ROOT.items():
        _add_page(app, f"/docs{slash}", _swagger_page(app.title, root))
        _add_page(app, f"/asyncapi{slash}", _ASYNCAPI_PAGE.format(root=root))

    document = ASYNCAPI.read_bytes()

    @app.get("/asyncapi.json", include_in_schema=False)
    async def asyncapi_document() -> Response:
        return Response(document, media_type="application/json")

    for place, (package, names) in _ASSETS.items():
        for name in names:
            add_asset(app, f"/{place}/{name}", _static(package) / name)


def _swagger_page(title: str, root: str) -> str:
    page = get_swagger_ui_html(
        openapi_url=f"{root}openapi.json",
        title=title,
        swagger_js_url=f"{root}{_SWAGGER}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{_SWAGGER}/swagger-ui.css",
        swagger_favicon_url=f"{root}{_SWAGGER}/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},  # the default is an external validator
    )
    return bytes(page.body).decode()


def _add_page(app: FastAPI, path: str, html: str) -> None:
    headers = page_policy(html)

    @app.get(path, include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=headers)


def _static(package: str) -> Path:
    """Return the folder of a package's static files, without importing the package."""
    spec = find_spec(package)
    if spec is None or not spec.origin:
        raise ModuleNotFoundError(package)
    return Path(spec.origin).parent / "static"
