// Hold a slot, extend the hold, and let it go.
import { apiKey, call, urlOf } from "../common/api.js";

/** @typedef {import("./pending.js").Pending} Pending */
/** @typedef {{endsAt: number, seconds: number}} Held `endsAt` is of the clock `performance.now` */

/** The fields that a hold and its booking have in common. @param {Pending} pending */
export function fieldsOfBooking({ site, slot, service, durationMinutes, resource, token }) {
  const what = service ? { service } : { durationMinutes };
  return { site, slot, resources: [resource], holdToken: token, ...what };
}

/**
 * Place the hold of a choice, or extend it.
 * @param {Pending} pending
 * @param {import("../common/api.js").Options} [options]
 * @returns {Promise<Held>}
 */
export async function hold(pending, options = {}) {
  // The person has not said a name yet. A hold also yields to a booking with its name, so its own is secret.
  const body = { ...fieldsOfBooking(pending), patientName: pending.token };
  const { body: reply, headers } = await call("POST", "hold-appointment", { body, ...options });
  // The clock of this device may be wrong: count from the service's own time. It has whole seconds.
  const now = Date.parse(headers.get("Date") ?? "") || Date.now();
  const seconds = Math.max(0, (Date.parse(reply.hold.expiresAt) - now) / 1000 - 1);
  return { endsAt: performance.now() + seconds * 1000, seconds };
}

/** Release a hold, also while the page is left. @param {Pending} pending */
export function release({ site, token }) {
  const body = JSON.stringify({ site, holdToken: token });
  const url = urlOf("release-hold");
  const key = apiKey();
  if (!key && navigator.sendBeacon(url, new Blob([body], { type: "application/json" }))) return;
  const headers = new Headers({ "Content-Type": "application/json" });
  if (key) headers.set("Authorization", `Bearer ${key}`);
  fetch(url, { method: "POST", keepalive: true, headers, body }).catch(() => {}); // it ends by itself
}
