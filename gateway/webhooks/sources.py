"""The sources of an endpoint: its events from the creation on, and the events of a replay."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from nats.js.api import ConsumerConfig, DeliverPolicy

from gateway.webhooks.endpoints import StoredWebhook
from shared.contract.asked_at import CLOCK_SKEW_MS
from shared.contract.instants import unix_milliseconds

CLOCK_SKEW = timedelta(milliseconds=CLOCK_SKEW_MS)
"""By which the clocks of a gateway and of NATS may differ."""
MOST_WAITING = 1000
"""Events of an endpoint that wait for a retry. Further events wait in the stream."""
FORGOTTEN_SECONDS = 30 * 24 * 60 * 60.0
"""After which JetStream deletes a consumer that nobody reads: its endpoint was deleted unseen."""


@dataclass(frozen=True)
class Source:
    """The events that one consumer reads: from `since` on, and up to `until` if it is of a replay."""

    consumer: str
    webhook_id: str
    subjects: tuple[str, ...]
    since: datetime
    until: datetime | None = None

    def config(self, ack_seconds: float) -> ConsumerConfig:
        """Return the durable consumer; JetStream gives an event out again after `ack_seconds`.

        Without a limit: an event that was given out while the bucket did not answer has not been attempted.
        """
        return ConsumerConfig(
            name=self.consumer,
            durable_name=self.consumer,
            filter_subjects=list(self.subjects),
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=self.since,
            ack_wait=ack_seconds,
            max_deliver=-1,
            max_ack_pending=MOST_WAITING,
            inactive_threshold=FORGOTTEN_SECONDS,
        )


def sources_of(webhook: StoredWebhook) -> list[Source]:
    """Return the sources of an endpoint; none if it is disabled."""
    if webhook.disabledAt:
        return []
    name, subjects = f"webhook-{webhook.id}", tuple(webhook.subjects)
    sources = [Source(name, webhook.id, subjects, webhook.createdAt - CLOCK_SKEW)]
    if replay := webhook.replay:
        of_replay = f"{name}-replay-{unix_milliseconds(replay.until)}"
        sources.append(Source(of_replay, webhook.id, subjects, replay.since, replay.until))
    return sources
