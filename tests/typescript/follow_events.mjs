// Prints the events of a site, one JSON line each, until N came: node follow_events.mjs URL SITE N
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

const [servers, site, count] = process.argv.slice(2);
const nats = await connect({ servers });
const manager = await jetstreamManager(nats);
const { name } = await manager.consumers.add("EVENTS", {
  durable_name: `node-${site}`,
  ack_policy: AckPolicy.Explicit,
  deliver_policy: DeliverPolicy.All,
  filter_subject: `event.v1.${site}.*`,
});
const consumer = await jetstream(nats).consumers.get("EVENTS", name);
const messages = await consumer.consume();
let left = Number(count);
for await (const message of messages) {
  console.log(JSON.stringify({ id: message.headers.get("ce-id"), type: message.headers.get("ce-type"), ...message.json() }));
  message.ack();
  if (--left === 0) break;
}
await nats.close();
