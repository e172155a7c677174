// The booking that is under way in this tab. It survives a reload, so that a repeat has the same key.
import { newKey } from "../common/api.js";
import { recall, remember } from "../common/session.js";

/**
 * @typedef {object} Pending
 * @property {string} site
 * @property {string} service
 * @property {string} slot
 * @property {number} [durationMinutes]
 * @property {string} resource of the resources that were free, the one that is held
 * @property {string[]} candidates others that would do too
 * @property {string} key the Idempotency-Key
 * @property {string} token of the hold
 * @property {boolean} sent whether a booking may have been sent
 * @property {string} name
 * @property {string} contact
 */

const NAME = "pending";

/** @param {string} site @returns {Pending | undefined} */
export function recallPending(site) {
  try {
    const pending = JSON.parse(recall(NAME) || "null");
    return pending?.site === site ? pending : undefined;
  } catch {
    return undefined;
  }
}

/** @param {Pending | undefined} pending */
export const rememberPending = (pending) => remember(NAME, pending ? JSON.stringify(pending) : "");

/** Return a choice of a slot, with a new key and token. @param {Omit<Pending, "key" | "token" | "sent">} choice @returns {Pending} */
export const newPending = (choice) => ({ ...choice, key: newKey(), token: newKey(), sent: false });
