// Books straight over NATS, and prints the reply and its headers: node book_over_nats.mjs URL JSON
import { connect } from "@nats-io/transport-node";

const [servers, command] = process.argv.slice(2);
const nats = await connect({ servers });
const reply = await nats.request("booking.v1.book", command, { timeout: 5000 });
const type = reply.headers?.get("Error-Type") ?? null;
console.log(JSON.stringify({ ...reply.json(), type }));
await nats.close();
