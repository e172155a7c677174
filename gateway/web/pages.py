"""Make the HTML of a page: its texts, modules and styles are named, so that a browser loads all at once."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from html import escape
from string import Template
from urllib.parse import quote

from gateway.web.assets import Asset, Assets
from gateway.web.languages import LANGUAGES, NAMES, texts_of

_COMMON, _SHELL = "common", "common/shell.html"
_POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; object-src 'none'; frame-ancestors {}"


@dataclass(frozen=True)
class Page:
    """A page: the template of its path, and the folder that has its `main.js`.

    That folder, and those of the modules that it imports, may have a `style.css` and texts (`en.json`,
    `de.json`); the texts of the page's own folder have its `title`.
    `preload`: the path of a call that the page makes first, `{site}` in it. `embeddable`: pages of
    `ALLOWED_ORIGINS` may show it in a frame.
    """

    path: str
    folder: str
    preload: str | None = None
    embeddable: bool = False


class PageRenderer:
    """Makes pages.

    Args:
        assets: the files.
        page_key: the publishable key of the pages; empty: the gateway needs none.
        origins: of the web pages that may embed a page.
    """

    def __init__(self, assets: Assets, page_key: str = "", origins: Collection[str] = ()) -> None:
        self._assets = assets
        self._key = page_key
        self._origins = sorted(origins)
        self._shell = Template(assets[_SHELL].content.decode())

    def render(self, page: Page, language: str, site: str = "") -> Asset:
        """Return the HTML of a page."""
        root = "../" * (page.path.count("/") - 1)
        files = f"{root}web/{self._assets.version}/"
        modules = self._assets.modules_of(f"{page.folder}/main.js")
        folders = dict.fromkeys([_COMMON, *(path.rpartition("/")[0] for path in reversed(modules))])
        texts = texts_of(self._assets, folders, language)
        styles = [path for folder in folders if (path := f"{folder}/style.css") in self._assets]
        links = [f'<link rel="stylesheet" href="{files}{path}">' for path in styles]
        links += [f'<link rel="modulepreload" href="{files}{path}">' for path in modules[1:]]
        if page.preload and not self._key:
            call = escape(root + page.preload.format(site=quote(site)))
            links.append(f'<link rel="preload" as="fetch" crossorigin="anonymous" href="{call}">')
        html = self._shell.substitute(
            lang=language,
            dir=LANGUAGES[language],
            title=escape(texts["title"]),
            needs_script=escape(texts["needsScript"]),
            skip=escape(texts["skip"]),
            root=root,
            files=files,
            key=escape(self._key),
            links="\n".join(links),
            languages="\n".join(_link(each) for each in LANGUAGES if each != language),
            main=f"{files}{modules[0]}",
            texts=json.dumps(texts, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        )
        return Asset(html.encode(), "text/html; charset=utf-8")

    def policy(self, page: Page) -> str:
        """Return the Content-Security-Policy of a page."""
        embedding = ["'self'", *self._origins] if page.embeddable else ["'none'"]
        return _POLICY.format(" ".join(embedding))


def _link(language: str) -> str:
    """Return the link to the page in another language."""
    return f'<a href="?lang={language}" hreflang="{language}" lang="{language}">{NAMES[language]}</a>'
