// One appointment (`/appointments/{id}`): its patient sees, moves and cancels it, by the secret in the fragment.
import { NoAnswer, Refusal, call, newKey, readAll } from "../common/api.js";
import { ROOT, announce, byId, h, nameInPath } from "../common/dom.js";
import { t } from "../common/i18n.js";
import { dayOf } from "../common/time.js";
import { offersOf } from "../book/choice.js";
import { calendarLink, referenceOf } from "../book/done.js";
import { Picker } from "../book/picker.js";
import { isTaken, sentenceOf, whenWords } from "../book/words.js";

/** @typedef {import("../book/done.js").Appointment} Appointment */
/** @typedef {import("../book/choice.js").Offer} Offer */
/** @typedef {import("../book/choice.js").Schedule} Schedule */
/** @typedef {import("../book/availability.js").FreeSlot} FreeSlot */

const id = nameInPath();
const token = location.hash.slice(1);
const path = `appointments/${encodeURIComponent(id)}`;
const main = byId("main");
const status = h("div", { class: "status" });
const card = h("section", { class: "card", "aria-label": t("title") });
const stage = h("div");

/** @type {Appointment} */
let appointment;
/** @type {Schedule[]} */
let schedules = [];
/** @type {Picker | undefined} */
let picker;
let busy = false;

async function start() {
  main.append(status, card, stage);
  if (!id) {
    card.remove();
    say(t("refused.NoSuchAppointment"), "bad");
    return;
  }
  card.replaceChildren(h("p", { class: "soft" }, t("loading")));
  ({ appointment } = (await call("GET", path, { token, onRepeat: (reason) => say(t(reason)) })).body);
  // The names of doctors and services; without them, the page shows their ids.
  schedules = await readAll(`schedules/${appointment.site}`, "schedules", { patience: 10 }).catch(() => []);
  status.replaceChildren();
  show();
}

/** The schedule of the resource that offers the service of the appointment. */
const doctor = () =>
  schedules.find((one) => appointment.resources.includes(one.resource) && (!appointment.service || one.services?.some(({ id }) => id === appointment.service)));

/** What a move books anew. @returns {Offer | undefined} */
function offer() {
  const known = offersOf(schedules, t("plain"));
  if (appointment.service) return known.find((one) => one.id === appointment.service);
  const at = doctor();
  return at && { id: "", title: t("plain"), minutes: [appointment.durationMinutes ?? 0], offeredBy: [at] };
}

function show() {
  const at = doctor();
  /** @type {[string, string | undefined][]} */
  const lines = [
    [t("status"), t(`status.${appointment.status}`)],
    [t("reference"), referenceOf(appointment.id)],
    [t("for"), appointment.patientName],
    [t("service"), offer()?.title],
    [t("doctor"), at?.title ?? appointment.resources.join(", ")],
    [t("when"), whenWords(appointment.slot, at?.timeZone ?? "UTC")],
  ];
  const rows = lines.filter(([, value]) => value).flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]);
  const isBooked = appointment.status === "booked";
  const again = new URL(`book/${appointment.site}${location.search}`, ROOT);
  const buttons = isBooked
    ? [
        offer() && h("button", { type: "button", class: "primary", onclick: openMove }, t("move")),
        h("button", { type: "button", class: "danger", onclick: askCancel }, t("cancel")),
        calendarLink(appointment.id, token),
      ]
    : [h("a", { class: "button", href: again }, t("bookNew"))];
  card.replaceChildren(h("dl", {}, ...rows), h("div", { class: "row" }, ...buttons));
}

/** @param {string} text @param {string} [kind] @param {...Node} more */
function say(text, kind = "", ...more) {
  announce("");
  const note = h("div", { class: `note ${kind}`, role: "alert", tabindex: "-1" }, h("p", {}, text), ...more);
  status.replaceChildren(note);
  return note;
}

function close() {
  picker?.stop();
  picker = undefined;
  stage.replaceChildren();
}

function openMove() {
  close();
  status.replaceChildren();
  const wanted = /** @type {Offer} */ (offer());
  const at = doctor();
  const among = at ? [at] : wanted.offeredBy;
  const opened = (picker = new Picker(appointment.site, (free) => void move(free), offerNext));
  const heading = h("h2", { tabindex: "-1" }, t("move.title"));
  const stay = h("button", { type: "button", class: "quiet", onclick: () => { close(); focusOn("button"); } }, t("move.stay"));
  stage.replaceChildren(h("section", { class: "card", "aria-label": t("move.title") }, heading, opened.element, h("div", { class: "row" }, stay)));
  void opened.show({ offer: wanted, among }, dayOf(appointment.slot, among[0].timeZone));
  heading.focus();
}

/** Move at once, without a hold: the old slot is kept if the new one is gone. @param {FreeSlot} free @param {string} [key] */
async function move(free, key = newKey()) {
  if (picker && !busy) picker.own = free.slot;
  await change("moving", () => call("PATCH", path, { body: { slot: free.slot }, key, version: appointment.version, token, onRepeat: tell }), "moved",
    (error) => {
      if (picker) picker.own = "";
      if (isTaken(error)) tellTaken(error, free);
      else tellFailed(error, () => void move(free, key));
    });
}

function askCancel() {
  close();
  status.replaceChildren();
  const heading = h("h2", { tabindex: "-1" }, t("cancel.title"));
  const yes = h("button", { type: "button", class: "danger", onclick: () => void cancel() }, t("cancel.yes"));
  const no = h("button", { type: "button", onclick: () => { close(); focusOn(".danger"); } }, t("cancel.no"));
  stage.replaceChildren(h("section", { class: "card", "aria-label": t("cancel.title") }, heading, h("p", {}, t("cancel.text")), h("div", { class: "row" }, yes, no)));
  heading.focus();
}

async function cancel() {
  await change("busy", () => call("DELETE", path, { version: appointment.version, token, onRepeat: tell }), "cancelled", (error) => tellFailed(error, () => void cancel()));
}

/** @param {"busy" | "offline"} reason */
const tell = (reason) => void say(t(reason));

/**
 * Send a change once, and show what the appointment is then.
 * @param {string} meanwhile @param {() => Promise<import("../common/api.js").Answer>} send @param {string} done @param {(error: unknown) => void} onError
 */
async function change(meanwhile, send, done, onError) {
  if (busy) return;
  busy = true;
  say(t(meanwhile));
  try {
    ({ appointment } = (await send()).body);
    close();
    show();
    say(t(done)).focus();
  } catch (error) {
    onError(error);
  } finally {
    busy = false;
  }
}

/** @param {unknown} error @param {FreeSlot} free */
function tellTaken(error, free) {
  picker?.mark(free.slot, "booked");
  offerNext(free.slot, sentenceOf(error));
}

/** @param {string} slot that is gone @param {string} sentence */
function offerNext(slot, sentence) {
  if (picker) say(`${sentence} ${t("stillYours")}`, "warn", picker.suggestions(slot)).focus();
}

/** @param {unknown} error @param {() => void} again */
async function tellFailed(error, again) {
  if (error instanceof NoAnswer || (error instanceof Refusal && error.status >= 500)) {
    say(t("unknownChange"), "warn", h("button", { type: "button", class: "primary", onclick: again }, t("again"))).focus();
    return;
  }
  const stale = error instanceof Refusal && (error.status === 412 || error.type === "AppointmentCancelled");
  close();
  if (stale) {
    ({ appointment } = (await call("GET", path, { token })).body);
    show();
  }
  say(stale ? t("changed") : sentenceOf(error), stale ? "warn" : "bad").focus();
}

/** @param {string} selector of a button of the card */
const focusOn = (selector) => /** @type {HTMLElement | null} */ (card.querySelector(selector))?.focus();

start().catch((error) => {
  card.remove();
  say(sentenceOf(error), "bad");
});
