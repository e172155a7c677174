"""Pages that watch slots, as a browser would: each applies the events of its stream."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

WAIT_SECONDS = 10.0
DAY = {"from": "2031-05-04T00:00:00Z", "to": "2031-05-05T00:00:00Z"}
NINE, TEN = "2031-05-04T09:00:00.000Z", "2031-05-04T10:00:00.000Z"


class Page:
    """What a page shows: the state of each taken slot, by slot and resource."""

    def __init__(self, response: httpx.Response) -> None:
        self.shown: dict[tuple[str, str], str] = {}
        self.holds = ""
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.lines: list[str] = []
        self.ended = False
        self._response = response
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def until(self, condition: Callable[["Page"], bool], seconds: float = WAIT_SECONDS) -> None:
        """Wait for what the page shows."""
        async with self._news:
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait_for(lambda: condition(self))
            except TimeoutError:
                raise AssertionError(f"after {seconds} s the page shows {self.shown}") from None

    async def until_shown(self, expected: dict[tuple[str, str], str], seconds: float = WAIT_SECONDS) -> None:
        await self.until(lambda page: page.shown == expected, seconds)

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        name = ""
        try:
            async for line in self._response.aiter_lines():
                self.lines.append(line)
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    self._apply(name, json.loads(value))
                async with self._news:
                    self._news.notify_all()
        except httpx.TransportError:
            pass
        self.ended = True
        async with self._news:
            self._news.notify_all()

    def _apply(self, name: str, data: dict[str, Any]) -> None:
        self.events.append((name, data))
        if name == "snapshot":
            self.shown = {}
        for row in data.get("freed", ()):
            self.shown.pop((row["slot"], row["resource"]))
        for row in data["taken"]:
            self.shown[row["slot"], row["resource"]] = row["state"]
        self.holds = data["holds"]


@asynccontextmanager
async def watching(http: httpx.AsyncClient, site: str, **query: Any) -> AsyncIterator[Page]:
    """A page that watches a day of a site."""
    headers = query.pop("headers", {})
    async with http.stream(
        "GET", "/api/live", params={"site": site, **DAY, **query}, headers=headers, timeout=60
    ) as answer:
        assert answer.status_code == 200, (await answer.aread(), answer.status_code)
        assert answer.headers["content-type"].startswith("text/event-stream")
        page = Page(answer)
        try:
            await page.until(lambda page: bool(page.events))
            yield page
        finally:
            await page.close()
