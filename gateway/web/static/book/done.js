// The booking is done: its reference, the calendar file, and the link by which it is moved or cancelled.
import { call } from "../common/api.js";
import { ROOT, h } from "../common/dom.js";
import { t } from "../common/i18n.js";
import { whenWords } from "./words.js";

/** @typedef {{id: string, slot: string, status: string, version: number, site: string, resources: string[], durationMinutes?: number, service?: string, patientName?: string}} Appointment */

/** What people read out: the begin of the id. @param {string} id */
export const referenceOf = (id) => id.slice(0, 8).toUpperCase();

/** The page of an appointment. The secret is in the fragment, which no server gets. @param {string} id @param {string} token */
export function linkTo(id, token) {
  const url = new URL(`appointments/${id}`, ROOT);
  const lang = new URLSearchParams(location.search).get("lang");
  if (lang) url.searchParams.set("lang", lang);
  url.hash = token;
  return url.href;
}

/**
 * Return a link that saves the appointment for a calendar program. It is hidden until the file is there.
 * @param {string} id @param {string} token
 */
export function calendarLink(id, token) {
  const link = h("a", { class: "button", download: `${referenceOf(id)}.ics`, hidden: true }, t("calendar"));
  call("GET", `appointments/${id}.ics`, { token, patience: 0 }).then(
    ({ body }) => {
      link.href = URL.createObjectURL(new Blob([body], { type: "text/calendar" }));
      link.hidden = false;
    },
    () => {}, // this gateway has no calendar files, or the page's key may not read
  );
  return link;
}

/** @param {import("./confirmed.js").Confirmed} confirmed @param {[string, string][]} summary @param {string} zone @param {() => void} onAnother */
export function doneSection({ id, slot, token }, summary, zone, onAnother) {
  /** @type {[string, string][]} */
  const lines = [[t("reference"), referenceOf(id)], ...summary, [t("when"), whenWords(slot, zone)]];
  const rows = lines.flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]);
  const target = self === top ? undefined : "_blank";
  const link = h("a", { class: "button", href: linkTo(id, token), target }, t("manage"));
  const another = h("button", { type: "button", class: "quiet", onclick: onAnother }, t("another"));
  const heading = h("h2", { tabindex: "-1" }, t("done.title"));
  const section = h("section", { class: "card done", "aria-label": t("done.title") }, heading, h("p", {}, t("done.text")), h("dl", {}, ...rows), h("p", {}, t("done.keep")),
    h("div", { class: "row" }, link, calendarLink(id, token), another));
  return { section, heading };
}
