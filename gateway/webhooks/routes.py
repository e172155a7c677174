"""Answers the calls of `/api/webhooks`: reads and writes the buckets. `gateway.webhooks.app` delivers."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import BaseModel
from starlette.datastructures import State

from gateway.access.identified import OPEN, Identified
from gateway.api.calls import NO_QUERY
from gateway.api.preconditions import PRECONDITIONS, refuse_others
from gateway.http.body import read_object
from gateway.http.connection import REQUESTER
from gateway.http.own_host import refuse_strangers
from gateway.http.response import to_response
from gateway.webhooks import calls, messages
from gateway.webhooks.addresses import check_url
from gateway.webhooks.calls import CALLS, WebhookCall
from gateway.webhooks.endpoints import BOTH_SIGN, Replay, StoredWebhook, new_webhook, now
from gateway.webhooks.store import WebhookStore
from shared.client.command_client import CommandClient
from shared.contract.caller import Caller, Scope, other_site
from shared.contract.envelope import Reply, read_reply
from shared.contract.errors import (
    Forbidden,
    InvalidRequest,
    NoResponders,
    NoSuchWebhook,
    NotExecuted,
    OutcomeUnknown,
    WebhookDisabled,
)
from shared.contract.fields import is_uuid
from shared.contract.instants import EPOCH
from shared.contract.parsing import validate
from shared.process.gateway_settings import WebhookSettings

NOT_ALL_SITES = "The key does not permit all sites: send a site"
NO_BODY = "A body is not accepted here"
TEST_MARGIN_SECONDS = 2.0
Handler = Callable[[str, Any, Caller], Awaitable[BaseModel]]


def register(app: FastAPI, settings: WebhookSettings) -> None:
    """Declare the calls as routes of `app`."""
    routes = WebhookRoutes(app.state, settings)
    for call in CALLS:
        endpoint = _endpoint(call, routes)
        app.add_api_route(call.path, endpoint, methods=[call.method], **call.described())


def _endpoint(call: WebhookCall, routes: "WebhookRoutes") -> Callable[[Request], Awaitable[Response]]:
    handler = routes.handlers[call]

    async def endpoint(request: Request) -> Response:
        identified: Identified = request.scope[REQUESTER].identified
        identified.require(Scope.WEBHOOKS)
        if identified is OPEN:
            refuse_strangers(request)
        command = await _read(call, request)
        webhook_id = request.path_params.get("id", "").lower()
        if "id" in request.path_params and not is_uuid(webhook_id):
            raise NoSuchWebhook
        if webhook_id:
            await routes.check_site_of(webhook_id, identified.caller)
        return to_response(Reply(await handler(webhook_id, command, identified.caller), call.status))

    return endpoint


async def _read(call: WebhookCall, request: Request) -> Any:
    """Return the command in the body of a request; None if the call has no body.

    Raises:
        InvalidRequest, UnsupportedMediaType
    """
    headers, body = request.scope["headers"], await request.body()
    refuse_others([header for header in headers if header[0] in PRECONDITIONS], {})
    if request.scope["query_string"]:
        raise InvalidRequest(NO_QUERY)
    if call.body is not None:
        return validate(type(call.body), read_object(headers, body))
    if body:
        raise InvalidRequest(NO_BODY)
    return None


class WebhookRoutes:
    """The handlers of the calls; `state` has the client once the gateway has started."""

    def __init__(self, state: State, settings: WebhookSettings) -> None:
        self._state = state
        self._settings = settings
        self.handlers: dict[WebhookCall, Handler] = {
            calls.CREATE: self._create,
            calls.LIST: self._list,
            calls.DELETE: self._delete,
            calls.ROTATE: self._rotate,
            calls.REPLAY: self._replay,
            calls.TEST: self._test,
            calls.DELIVERIES: self._deliveries,
        }

    @property
    def _client(self) -> CommandClient:
        client: CommandClient = self._state.client
        return client

    @property
    def _store(self) -> WebhookStore:
        """The store.

        Raises:
            NotExecuted: NATS is not connected.
        """
        if not self._client.connection.is_connected:
            raise NotExecuted
        return WebhookStore(self._client.connection.jetstream())

    async def check_site_of(self, id: str, caller: Caller) -> None:
        """Refuse an endpoint of a site that the caller may not use, as one that does not exist.

        Raises:
            NoSuchWebhook
        """
        if caller.sites is not None and not _may_use(caller, await self._store.get(id)):
            raise NoSuchWebhook

    async def _create(self, _id: str, command: messages.CreateWebhook, caller: Caller) -> BaseModel:
        if not _may_use(caller, command):
            raise Forbidden(NOT_ALL_SITES) if command.site is None else other_site(command.site)
        await check_url(command.url, allow_private=self._settings.webhooks_allow_private)
        webhook = new_webhook(command)
        await self._store.add(webhook)
        return messages.WebhookCreated(**_shown(webhook).model_dump(), secret=webhook.secrets[0].text)

    async def _list(self, _id: str, _command: None, caller: Caller) -> BaseModel:
        found = await self._store.all()
        return messages.WebhooksFound(
            webhooks=[_shown(webhook) for webhook in found if _may_use(caller, webhook)]
        )

    async def _delete(self, id: str, _command: None, _caller: Caller) -> BaseModel:
        await self._store.delete(id)
        return messages.WebhookDeleted()

    async def _rotate(self, id: str, _command: None, _caller: Caller) -> BaseModel:
        at = now()
        webhook = await self._store.change(id, lambda webhook: webhook.rotated(at))
        return messages.SecretRotated(id=id, secret=webhook.secrets[0].text, bothUntil=at + BOTH_SIGN)

    async def _replay(self, id: str, command: messages.ReplayWebhook, _caller: Caller) -> BaseModel:
        until = now()
        replay = Replay(since=min(max(command.since, EPOCH), until), until=until)  # a range that NATS takes

        def start(webhook: StoredWebhook) -> StoredWebhook:
            if webhook.disabledAt:
                raise WebhookDisabled
            return webhook.model_copy(update={"replay": replay})

        await self._store.change(id, start)
        return messages.ReplayStarted()

    async def _test(self, id: str, _command: None, _caller: Caller) -> BaseModel:
        await self._store.get(id)
        seconds = self._settings.webhooks_timeout_seconds + TEST_MARGIN_SECONDS
        try:
            answer = await self._client.connection.request(
                messages.TEST_SUBJECT, id.encode(), timeout=seconds
            )
        except NoRespondersError:
            raise NoResponders from None
        except TimeoutError:
            raise OutcomeUnknown from None
        except NatsError:
            raise NotExecuted from None
        return read_reply(answer.data, answer.headers or {}, messages.Delivery).body

    async def _deliveries(self, id: str, _command: None, _caller: Caller) -> BaseModel:
        await self._store.get(id)
        return messages.DeliveriesFound(deliveries=await self._store.deliveries(id))


def _may_use(caller: Caller, webhook: StoredWebhook | messages.CreateWebhook) -> bool:
    """Return whether a caller may use an endpoint; that of all sites is for callers of all sites."""
    return caller.sites is None or (webhook.site is not None and caller.may_use(webhook.site))


def _shown(webhook: StoredWebhook) -> messages.Webhook:
    """Return an endpoint without its secrets."""
    return messages.Webhook(**webhook.model_dump(include=set(messages.Webhook.model_fields)))
