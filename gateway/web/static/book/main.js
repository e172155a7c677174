// The patient's page (`/book/{site}`): service, doctor, slot; then the slot is held, and booked.
import { NoAnswer, Refusal, lacksKey, readAll, sleep } from "../common/api.js";
import { announce, byId, h, nameInPath } from "../common/dom.js";
import { t } from "../common/i18n.js";
import { Checkout, sendBooking } from "./checkout.js";
import { fieldsOf, offersOf } from "./choice.js";
import { current as asItStands, recallConfirmed, rememberConfirmed } from "./confirmed.js";
import { doneSection } from "./done.js";
import "./embedded.js";
import { hold, release } from "./hold.js";
import { newPending, recallPending, rememberPending } from "./pending.js";
import { Picker } from "./picker.js";
import { isTaken, sentenceOf } from "./words.js";

/** @typedef {import("./choice.js").Offer} Offer */
/** @typedef {import("./choice.js").Schedule} Schedule */
/** @typedef {import("./pending.js").Pending} Pending */

const ANY = "";
const SITE_NAME = /^[\w-]{1,64}$/;
const OWN_RELEASE_MS = [300, 600, 1200];
const RELEASE_WAIT_MS = 4000;

const site = nameInPath();
const main = byId("main");
const status = h("div", { class: "status" });
const choosing = h("div", { class: "choosing" });
const stage = h("div", { class: "stage" });

/** @type {Offer[]} */
let offers = [];
/** @type {Offer | undefined} */
let offer;
/** The resource that was chosen, or ANY. */
let doctor = ANY;
/** @type {Checkout | undefined} */
let checkout;
/** @type {Pending | undefined} the choice whose slot is held, or is being held */
let current;
/** Whether the answer to a hold is awaited: a second click is the same choice. */
let holding = false;
/** When this page last released a hold (`performance.now`), which may still be on its way. */
let releasedAt = -Infinity;
/** Counts choices, so that an answer to an earlier one is known as such. */
let turn = 0;
/** What the person has written before. */
let written = { name: "", contact: "" };

const services = h("div", { class: "choices", role: "group", "aria-labelledby": "service-heading" });
const doctors = h("div", { class: "choices", role: "group", "aria-labelledby": "doctor-heading" });
const picker = new Picker(site, (free, among) => void choose(free.slot, among.map((one) => one.resource)), offerNext);
const doctorPart = h("section", { class: "card", hidden: true }, h("h2", { id: "doctor-heading" }, t("doctor.title")), doctors);
const slotPart = h("section", { class: "card", hidden: true, "aria-labelledby": "slot-heading" }, h("h2", { id: "slot-heading", tabindex: "-1" }, t("slot.title")), picker.element);

/** @param {string} text @param {boolean} pressed @param {string} [small] @param {() => void} [onclick] */
const choice = (text, pressed, small, onclick) =>
  h("button", { type: "button", "aria-pressed": String(pressed), onclick }, h("span", {}, text), small && h("small", {}, small));

/** @param {HTMLElement} group @param {number} index */
function press(group, index) {
  [...group.children].forEach((button, number) => button.setAttribute("aria-pressed", String(number === index)));
}

async function start() {
  main.append(status, choosing, stage);
  if (!SITE_NAME.test(site)) {
    status.append(h("p", { class: "note" }, t("noSite")));
    return;
  }
  const waiting = h("p", { class: "soft", role: "status" }, t("loading"));
  status.append(waiting);
  const schedules = /** @type {Schedule[]} */ (
    await readAll(`schedules/${site}`, "schedules", { onRepeat: (reason) => (waiting.textContent = t(reason)) })
  );
  status.replaceChildren();
  offers = offersOf(schedules, t("plain"));
  if (!offers.length) {
    status.append(h("p", { class: "note" }, t("noSite")));
    return;
  }
  choosing.append(h("section", { class: "card" }, h("h2", { id: "service-heading", tabindex: "-1" }, t("service.title")), services), doctorPart, slotPart);
  offers.forEach((one, index) => services.append(choice(one.title, false, one.minutes.map((count) => t("minutes", { count })).join(" / "), () => pickService(one, index))));
  const asked = new URLSearchParams(location.search);
  const index = offers.findIndex((one) => one.id === asked.get("service"));
  const chosen = offers.length === 1 ? 0 : index;
  picker.day = asked.get("day") ?? "";
  const pending = recallPending(site);
  if (pending) return resume(pending);
  if (chosen >= 0) pickService(offers[chosen], chosen, asked.get("doctor") ?? ANY);
  await showConfirmed();
}

/** @param {Offer} one @param {number} index @param {string} [asked] the resource */
function pickService(one, index, asked = doctor) {
  offer = one;
  press(services, index);
  /** @type {[string, string][]} */
  const names = one.offeredBy.map((schedule) => [schedule.resource, schedule.title]);
  const several = names.length > 1;
  /** @type {[string, string][]} */
  const rows = several ? [[ANY, t("doctor.any")], ...names] : names;
  doctor = rows.some(([resource]) => resource === asked) ? asked : rows[0][0];
  doctors.replaceChildren(...rows.map(([resource, title], number) => choice(title, resource === doctor, "", () => {
    doctor = resource;
    press(doctors, number);
    showSlots();
  })));
  doctorPart.hidden = !several;
  slotPart.hidden = false;
  showSlots();
}

function showSlots() {
  const chosen = /** @type {Offer} */ (offer);
  const among = chosen.offeredBy.filter((schedule) => doctor === ANY || schedule.resource === doctor);
  void picker.show({ offer: chosen, among }, picker.day);
  keepInAddress();
}

function keepInAddress() {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries({ service: offer?.id ?? "", doctor })) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  history.replaceState(history.state, "", url);
}

/** @param {{service: string, resource: string}} pending @returns {{summary: [string, string][], zone: string}} */
function described(pending) {
  const of = offers.find((one) => one.id === pending.service) ?? offers[0];
  const schedule = of.offeredBy.find((one) => one.resource === pending.resource) ?? of.offeredBy[0];
  return { summary: [[t("service"), of.title], [t("doctor"), schedule.title]], zone: schedule.timeZone };
}

/** Hold a slot at the first of some resources that has it. @param {string} slot @param {string[]} resources @param {number[]} [pauses] */
async function choose(slot, resources, pauses = OWN_RELEASE_MS) {
  if (holding) return;
  const mine = ++turn;
  letGo();
  status.replaceChildren();
  const [resource, ...candidates] = resources;
  const of = /** @type {Offer} */ (offer);
  const pending = newPending({ site, slot, resource, candidates, service: of.id, ...written, durationMinutes: undefined, ...fieldsOf(of) });
  current = pending;
  holding = true;
  picker.own = slot;
  announce(t("holding"));
  choosing.setAttribute("aria-busy", "true");
  try {
    const held = await hold(pending, { onRepeat: (reason) => say(t(reason)) }).finally(() => (holding = false));
    if (mine !== turn) return release(pending);
    rememberPending(pending);
    openCheckout(pending).start(held);
    if (history.state?.step !== "checkout") history.pushState({ step: "checkout" }, "");
  } catch (error) {
    if (mine !== turn) return;
    current = undefined;
    picker.own = "";
    if (isTaken(error) && error.type === "SlotHeld" && pauses.length && performance.now() - releasedAt < RELEASE_WAIT_MS) {
      await sleep(pauses[0]); // it may be the hold that this page has just released
      if (mine === turn) await choose(slot, resources, pauses.slice(1));
    } else if (isTaken(error) && candidates.length) await choose(slot, candidates);
    else if (isTaken(error)) tellTaken(error, slot);
    else say(sentenceOf(error), "bad");
  } finally {
    if (mine === turn) choosing.removeAttribute("aria-busy");
  }
}

/** @param {Pending} pending */
function openCheckout(pending) {
  checkout?.stop();
  const { summary, zone } = described(pending);
  const opened = new Checkout(pending, summary, zone, {
    onBooked: (answer) => finish(pending, answer),
    onTaken: (error) => {
      closeCheckout();
      tellTaken(error, pending.slot);
    },
    onBack: () => history.back(),
    onAgain: () => void choose(pending.slot, [pending.resource, ...pending.candidates]),
  });
  checkout = opened;
  choosing.hidden = true;
  announce("");
  status.replaceChildren();
  stage.replaceChildren(opened.element);
  opened.heading.focus();
  return opened;
}

/** Keep what was written, and let the held slot go. */
function letGo() {
  checkout?.keep();
  checkout?.stop();
  checkout = undefined;
  if (!current) return;
  written = { name: current.name, contact: current.contact };
  if (!current.sent) {
    release(current);
    releasedAt = performance.now();
    rememberPending(undefined);
  }
  current = undefined;
}

/** Go back to the slots. */
function closeCheckout() {
  turn++;
  letGo();
  rememberPending(undefined);
  picker.own = "";
  announce("");
  stage.replaceChildren();
  choosing.hidden = false;
  choosing.removeAttribute("aria-busy");
  if (history.state?.step) history.replaceState(null, "");
}

/** @param {string} text @param {string} [kind] */
function say(text, kind = "") {
  announce("");
  status.replaceChildren(h("p", { class: `note ${kind}`, role: "alert" }, text));
}

/** Say as a person would that a slot is gone, and offer the next ones. @param {Refusal} error @param {string} slot */
function tellTaken(error, slot) {
  if (!offer) return;
  picker.mark(slot, error.type === "SlotHeld" ? "held" : "booked");
  offerNext(slot, sentenceOf(error));
}

/** @param {string} slot that is gone @param {string} sentence */
function offerNext(slot, sentence) {
  announce("");
  const note = h("div", { class: "note warn", role: "alert", tabindex: "-1" }, h("p", {}, sentence, " "), picker.suggestions(slot));
  status.replaceChildren(note);
  note.focus();
}

/** @param {Pending} pending @param {import("../common/api.js").Answer} answer */
function finish({ service, resource }, { body, headers }) {
  const { id, slot } = /** @type {import("./done.js").Appointment} */ (body.appointment);
  rememberPending(undefined);
  current = checkout = undefined;
  written = { name: "", contact: "" };
  showDone({ site, id, slot, service, resource, token: headers.get("Appointment-Token") ?? "" });
}

/** Show the last booking of this tab, unless it is cancelled by now. */
async function showConfirmed() {
  const kept = recallConfirmed(site);
  if (!kept) return;
  choosing.hidden = true;
  status.replaceChildren(h("p", { class: "soft", role: "status" }, t("loading")));
  const confirmed = await asItStands(kept);
  if (confirmed) showDone(confirmed);
  else leaveDone();
}

function leaveDone() {
  rememberConfirmed(undefined);
  picker.own = "";
  status.replaceChildren();
  stage.replaceChildren();
  choosing.hidden = false;
  history.replaceState(null, "");
  if (offer) showSlots();
}

/** @param {import("./confirmed.js").Confirmed} confirmed */
function showDone(confirmed) {
  rememberConfirmed(confirmed);
  picker.stop();
  const { summary, zone } = described(confirmed);
  const { section, heading } = doneSection(confirmed, summary, zone, () => {
    leaveDone();
    byId(offer ? "slot-heading" : "service-heading").focus();
  });
  choosing.hidden = true;
  announce("");
  status.replaceChildren();
  stage.replaceChildren(section);
  heading.focus();
  history.replaceState({ step: "done" }, "");
}

/** Go on with what a reload has interrupted. @param {Pending} pending */
async function resume(pending) {
  const index = Math.max(0, offers.findIndex((one) => one.id === pending.service));
  written = { name: pending.name, contact: pending.contact };
  pickService(offers[index], index, new URLSearchParams(location.search).get("doctor") ?? ANY);
  if (!pending.sent) {
    rememberPending(undefined);
    releasedAt = performance.now();
    await choose(pending.slot, [pending.resource, ...pending.candidates]);
    return;
  }
  current = pending;
  say(t("finishing"));
  try {
    finish(pending, await sendBooking(pending, new AbortController().signal, (reason) => say(t(reason))));
  } catch (error) {
    if (error instanceof NoAnswer || (error instanceof Refusal && error.status >= 500)) {
      say(t("unknown"), "warn");
      status.append(h("button", { type: "button", class: "primary", onclick: () => void resume(pending) }, t("again")));
      return;
    }
    pending.sent = false;
    closeCheckout();
    if (isTaken(error)) tellTaken(error, pending.slot);
    else say(sentenceOf(error), "bad");
  }
}

addEventListener("popstate", () => {
  if (checkout?.isUnsettled) {
    history.pushState({ step: "checkout" }, ""); // first it has to be known whether the booking exists
    checkout.submit.focus();
    return;
  }
  if (checkout && history.state?.step !== "checkout") {
    closeCheckout();
    byId("slot-heading").focus();
  } else if (history.state?.step) history.replaceState(null, "");
});
addEventListener("pagehide", () => {
  if (!current || current.sent) return;
  checkout?.keep();
  rememberPending(current);
  release(current);
});
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  if (current && !current.sent) void choose(current.slot, [current.resource, ...current.candidates]);
  else if (!current) void showConfirmed();
});

start().catch((error) => {
  const text = lacksKey(error) ? t("notSetUp") : sentenceOf(error);
  status.replaceChildren(h("p", { class: "note bad", role: "alert" }, text), h("button", { type: "button", onclick: () => location.reload() }, t("again")));
});
