"""Make the HTML of a page: its texts, modules and styles are named, so that a browser loads all at once."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from string import Template
from urllib.parse import quote

from gateway.web.assets import Asset, Assets
from gateway.web.joined import join_modules, join_styles
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


@dataclass(frozen=True)
class PageFiles:
    """The folders of a page's modules, its style sheet, its script, and what the script imports."""

    folders: Sequence[str]
    style: str
    script: str
    imported: Sequence[str] = ()


class PageRenderer:
    """Makes pages.

    Args:
        assets: the files.
        pages: the pages. Their joined files exist from now on.
        page_key: the publishable key of the pages; empty: the gateway needs none.
        origins: of the web pages that may embed a page.
    """

    def __init__(
        self, assets: Assets, pages: Iterable[Page], page_key: str = "", origins: Collection[str] = ()
    ) -> None:
        self._assets = assets
        self._key = page_key
        self._origins = sorted(origins)
        self._files = {page.folder: self._prepare(page.folder) for page in pages}
        self._shell = Template(assets[_SHELL].content.decode())

    def render(self, page: Page, language: str, site: str = "") -> Asset:
        """Return the HTML of a page."""
        root = "../" * (page.path.count("/") - 1)
        files = f"{root}web/{self._assets.version}/"
        own = self._files[page.folder]
        texts = texts_of(self._assets, own.folders, language)
        links = [f'<link rel="stylesheet" href="{files}{own.style}">']
        links += [f'<link rel="modulepreload" href="{files}{path}">' for path in own.imported]
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
            main=f"{files}{own.script}",
            texts=json.dumps(texts, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        )
        return Asset(html.encode(), "text/html; charset=utf-8")

    def _prepare(self, folder: str) -> PageFiles:
        """Return the files of a page, joined if that is possible."""
        modules = self._assets.modules_of(main := f"{folder}/main.js")
        folders = list(dict.fromkeys([_COMMON, *(path.rpartition("/")[0] for path in modules)]))
        styles = [path for each in folders if (path := f"{each}/style.css") in self._assets]
        self._assets.add(style := f"joined/{folder}.css", join_styles(self._assets, styles))
        joined = join_modules(self._assets, modules)
        if joined is None:
            return PageFiles(folders, style, main, modules[:-1])
        self._assets.add(script := f"joined/{folder}.js", joined)
        return PageFiles(folders, style, script)

    def policy(self, page: Page) -> str:
        """Return the Content-Security-Policy of a page."""
        embedding = ["'self'", *self._origins] if page.embeddable else ["'none'"]
        return _POLICY.format(" ".join(embedding))


def _link(language: str) -> str:
    """Return the link to the page in another language."""
    return f'<a href="?lang={language}" hreflang="{language}" lang="{language}">{NAMES[language]}</a>'
