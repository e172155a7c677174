// The last booking of this tab: its confirmation has the only link to it, so a reload must not lose it.
import { NoAnswer, Refusal, call } from "../common/api.js";
import { recall, remember } from "../common/session.js";

/**
 * A booking without what is personal.
 * @typedef {object} Confirmed
 * @property {string} site
 * @property {string} id
 * @property {string} token of the patient's link; "" if the gateway gives none
 * @property {string} slot
 * @property {string} service
 * @property {string} resource
 */

const NAME = "confirmed";
const PATIENCE_SECONDS = 5;

/** @param {string} site @returns {Confirmed | undefined} */
export function recallConfirmed(site) {
  try {
    const confirmed = JSON.parse(recall(NAME) || "null");
    return confirmed?.site === site ? confirmed : undefined;
  } catch {
    return undefined;
  }
}

/** @param {Confirmed | undefined} confirmed */
export const rememberConfirmed = (confirmed) => remember(NAME, confirmed ? JSON.stringify(confirmed) : "");

/**
 * Return a confirmation as the appointment stands now, or undefined if it is cancelled. Without an answer, or
 * if this page may not read it, the confirmation is returned as it was.
 * @param {Confirmed} confirmed
 * @returns {Promise<Confirmed | undefined>}
 */
export async function current(confirmed) {
  try {
    const { body } = await call("GET", `appointments/${confirmed.id}`, { token: confirmed.token, patience: PATIENCE_SECONDS });
    return body.appointment.status === "booked" ? { ...confirmed, slot: body.appointment.slot } : undefined;
  } catch (error) {
    if (error instanceof Refusal) return error.status === 404 ? undefined : confirmed;
    if (error instanceof NoAnswer) return confirmed;
    throw error;
  }
}
