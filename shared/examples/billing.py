"""A FastStream service that is called for every booking, at least once: `faststream run billing:app`."""

import os

from faststream import FastStream, Header
from faststream.nats import JStream, NatsBroker, PullSub

broker = NatsBroker(os.environ.get("NATS_URL", "nats://localhost:4222"))
app = FastStream(broker)


@broker.subscriber(
    "event.v1.*.booked", stream=JStream("EVENTS", declare=False), durable="billing", pull_sub=PullSub(10)
)
async def bill(booking: dict[str, object], event_id: str = Header("ce-id")) -> None:
    print(f"billed {event_id}: {booking['slot']} at {booking['site']}", flush=True)
