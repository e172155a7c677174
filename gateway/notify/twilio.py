"""Send text messages by Twilio's REST API, or by another provider that speaks it.

https://www.twilio.com/docs/messaging/api/message-resource
"""

import httpx

from gateway.notify.contacts import Phone
from gateway.notify.per_site import PerSite
from gateway.notify.providers import Message, Undeliverable, Unsent

SECONDS = 15.0
REFUSED = 400
"""The status for a number or text that is not accepted. 401 to 404 mean a wrong account, which is mended."""


class Twilio:
    """Sends by an account.

    Args:
        url: the root of the API.
        account: the SID of the account.
        token: its secret.
        numbers: the numbers that messages come from.
    """

    def __init__(self, url: str, account: str, token: str, numbers: PerSite) -> None:
        self._numbers = numbers
        self._path = f"/2010-04-01/Accounts/{account}/Messages.json"
        self._client = httpx.AsyncClient(
            base_url=url, auth=(account, token), timeout=SECONDS, trust_env=False, follow_redirects=False
        )

    async def send(self, message: Message[Phone]) -> None:
        form = {"To": message.to.number, "From": self._numbers.of(message.site), "Body": message.text}
        try:
            answer = await self._client.post(self._path, data=form)
        except httpx.HTTPError as error:
            raise Unsent(type(error).__name__) from None
        if answer.is_success:
            return
        if answer.status_code == REFUSED:
            raise Undeliverable(_code(answer))
        raise Unsent(_code(answer))

    async def close(self) -> None:
        await self._client.aclose()


def _code(answer: httpx.Response) -> str:
    """Return the status, and the provider's number of the error; its text may quote the recipient."""
    try:
        number = int(answer.json()["code"])
    except (KeyError, TypeError, ValueError):
        return str(answer.status_code)
    return f"{answer.status_code} {number}"
