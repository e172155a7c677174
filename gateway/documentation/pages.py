"""The pages that show the API to people. They need nothing from any other host."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

ASYNCAPI = Path(__file__).parents[1] / "asyncapi.json"
# Relative, so that they hold below the path of a proxy too.
_SWAGGER, _VIEWER = "docs/assets", "asyncapi/assets"
_ASYNCAPI_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Booking service over NATS</title>
<link rel="icon" href="{_SWAGGER}/favicon.png">
<script src="{_VIEWER}/asyncapi-viewer.iife.js" defer></script>
</head>
<body>
<asyncapi-viewer src="asyncapi.json" sidebar><a href="asyncapi.json">asyncapi.json</a></asyncapi-viewer>
</body>
</html>
"""


def add_pages(app: FastAPI) -> None:
    """Serve `/docs` of HTTP and `/asyncapi` of NATS, their scripts and styles, and `/asyncapi.json`."""

    @app.get("/", include_in_schema=False)
    async def start() -> RedirectResponse:
        return RedirectResponse("docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url=f"{_SWAGGER}/swagger-ui-bundle.js",
            swagger_css_url=f"{_SWAGGER}/swagger-ui.css",
            swagger_favicon_url=f"{_SWAGGER}/favicon.png",
            swagger_ui_parameters={"validatorUrl": None},  # else it sends the document to one elsewhere
        )

    @app.get("/asyncapi", include_in_schema=False)
    async def asyncapi() -> HTMLResponse:
        return HTMLResponse(_ASYNCAPI_PAGE)

    @app.get("/asyncapi.json", include_in_schema=False)
    async def asyncapi_document() -> FileResponse:
        return FileResponse(ASYNCAPI, media_type="application/json")

    app.mount(f"/{_SWAGGER}", StaticFiles(directory=_static("fastapi_offline")))
    app.mount(f"/{_VIEWER}", StaticFiles(directory=_static("asyncapi_viewer")))


def _static(package: str) -> Path:
    """The static files of a package, which is not imported for that."""
    spec = find_spec(package)
    if spec is None or not spec.origin:
        raise ModuleNotFoundError(package)
    return Path(spec.origin).parent / "static"
