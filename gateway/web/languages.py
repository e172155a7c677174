"""Choose the language of a page: by `?lang=`, else by `Accept-Language`, else English."""

import json
from collections.abc import Iterable, Mapping

from gateway.web.assets import Assets

LANGUAGES = {"en": "ltr", "de": "ltr"}
"""The languages that have texts, and the direction of their writing. The first is the default."""
NAMES = {"en": "English", "de": "Deutsch"}
DEFAULT = next(iter(LANGUAGES))


def choose_language(asked: str | None, accepted: str) -> str:
    """Return a language of `LANGUAGES`.

    Args:
        asked: the parameter `lang`, if there is one.
        accepted: the header `Accept-Language` (https://www.rfc-editor.org/rfc/rfc9110#section-12.5.4).
    """
    wanted = [(2.0, asked)] if asked else []
    for part in accepted.split(","):
        tag, _, weight = part.partition(";q=")
        try:
            wanted.append((float(weight or 1), tag.strip()))
        except ValueError:
            continue
    for quality, tag in sorted(wanted, key=lambda pair: -pair[0]):
        language = tag.partition("-")[0].lower()
        if quality > 0 and language in LANGUAGES:
            return language
    return DEFAULT


def texts_of(assets: Assets, folders: Iterable[str], language: str) -> Mapping[str, str]:
    """Return the texts of some folders; those of a later folder count."""
    texts: dict[str, str] = {}
    for folder in folders:
        path = f"{folder}/{language}.json"
        if path in assets:
            texts |= json.loads(assets[path].content)
    return texts
