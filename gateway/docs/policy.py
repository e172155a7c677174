"""State for the browser what a page may load and run (Content-Security-Policy)."""

import re
from base64 import b64encode
from hashlib import sha256

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def page_policy(html: str) -> dict[str, str]:
    """Return the header of a page that loads from this gateway only, and runs its own inline scripts only."""
    hashes = [b64encode(sha256(script.encode()).digest()).decode() for script in _INLINE_SCRIPT.findall(html)]
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in hashes)])
    policy = (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    )
    return {"Content-Security-Policy": policy}
