"""Join the modules of a page into one script, and its styles into one style sheet.

Over HTTP/1.1 a browser has six connections: a page of twenty files would take four round trips. Each module
becomes a function that returns its exports; comments of whole lines are left out.
"""

import json
import posixpath
import re
from collections.abc import Iterable
from functools import partial

from gateway.web.assets import Asset, Assets

_IMPORT = re.compile(r'^import\s+(?:(\{[^}]*\})\s+from\s+)?"(\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_COMMENT = re.compile(r"^[ ]*(?://[^\n]*|/\*\*(?:(?!\*/)[\s\S])*\*/[ ]*)\n", re.MULTILINE)
_ELSE = re.compile(r"^(?:import|export)\b|\bimport\.meta\b|(?<![{\w.])import\(", re.MULTILINE)


def join_modules(assets: Assets, modules: Iterable[str]) -> Asset | None:
    """Return a script that does what the last of `modules` does, or None if one cannot be joined.

    Each module stands after those that it imports. It imports names, exports declarations, and does not use
    its own address.
    """
    parts = ["const $modules = {};\n"]
    for path in modules:
        source = assets[path].content.decode()
        names = ", ".join(_EXPORT.findall(source))
        body = _EXPORT.sub("", _COMMENT.sub("", source))
        body = _IMPORT.sub(partial(_binding, path), body)
        if _ELSE.search(body):
            return None
        parts.append(f"$modules[{json.dumps(path)}] = (() => {{\n{body}return {{ {names} }};\n}})();\n")
    return Asset("".join(parts).encode(), assets[path].media_type)


def join_styles(assets: Assets, styles: Iterable[str]) -> Asset:
    """Return one style sheet; the rules of a later one count."""
    contents = [assets[path].content for path in styles]
    return Asset(b"\n".join(contents), "text/css; charset=utf-8")


def _binding(importer: str, found: re.Match[str]) -> str:
    """Return the statement that takes the place of an import."""
    names, path = found[1], posixpath.normpath(posixpath.join(posixpath.dirname(importer), found[2]))
    return f"const {names.replace(' as ', ': ')} = $modules[{json.dumps(path)}];\n" if names else ""
