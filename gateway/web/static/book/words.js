// What people are told: when an appointment is, and why something was refused.
import { NoAnswer, Refusal } from "../common/api.js";
import { has, t } from "../common/i18n.js";
import { clock, longDate, visitorZone, zoneName } from "../common/time.js";

/** @param {string} slot @param {string} zone */
export function whenWords(slot, zone) {
  const own = zoneName(slot, zone) === zoneName(slot, visitorZone) ? "" : `, ${t("yourTime", { time: clock(slot, visitorZone) })}`;
  return `${longDate(slot, zone)}, ${clock(slot, zone)} (${zoneName(slot, zone)}${own})`;
}

/** Whether a refusal means that the slot is not to be had. @param {unknown} error @returns {error is Refusal} */
export const isTaken = (error) =>
  error instanceof Refusal && ["SlotAlreadyBooked", "SlotHeld", "SlotNotOffered"].includes(error.type);

/**
 * Return a sentence for an error of a call.
 * @param {unknown} error
 * @throws the error itself, if it is a defect of the page
 */
export function sentenceOf(error) {
  if (error instanceof NoAnswer) return t(error.reason);
  if (!(error instanceof Refusal)) throw error;
  if (error.status === 429) return t("tooMany");
  if (error.type === "SlotNotOffered" && has(`refused.${error.body.reason}`)) return t(`refused.${error.body.reason}`);
  return has(`refused.${error.type}`) ? t(`refused.${error.type}`) : t("failed");
}
