"""Settings of the phone that shows text messages on a page of a new stack: `/sms`."""

import os
from pathlib import Path
from secrets import token_urlsafe

from deploy.local.demo import SITE

NUMBERS = f"+4940555010={SITE}:en,+4940555011={SITE}:de"


def demo_phone(data: Path) -> dict[str, str]:
    """Return the variables that a gateway of the stack gets, unless the shell has them.

    The secret of the HMACs stays with the data, so conversations outlive a restart.
    """
    given = os.environ
    pages = given.get("DEMO_PAGES") or "true"
    secret = data / "sms-secret"
    if not secret.exists():
        secret.touch(0o600)
        secret.write_text(token_urlsafe())
    has_secret = given.get("SMS_SECRET") or given.get("SMS_SECRET_FILE")
    return {
        "DEMO_PAGES": pages,
        "SMS_NUMBERS": given.get("SMS_NUMBERS") or NUMBERS,
        **({} if has_secret else {"SMS_SECRET_FILE": str(secret)}),
    }
