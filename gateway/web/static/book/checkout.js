// The slot is held: a countdown, the person's name, and the booking.
import { NoAnswer, Refusal, call, newKey } from "../common/api.js";
import { announce, h } from "../common/dom.js";
import { t } from "../common/i18n.js";
import { fieldsOfBooking, hold } from "./hold.js";
import { rememberPending } from "./pending.js";
import { isTaken, sentenceOf, whenWords } from "./words.js";

/** @typedef {import("./pending.js").Pending} Pending */
/** @typedef {import("./hold.js").Held} Held */
/** @typedef {(answer: import("../common/api.js").Answer) => void} OnBooked */

const ANNOUNCED_AT = [60, 20];
const SECOND = 1000;
const CAPPED_SECONDS = 2;
const BOOKING_PATIENCE_SECONDS = 120;

/**
 * @typedef {object} Handlers
 * @property {OnBooked} onBooked
 * @property {(error: Refusal) => void} onTaken the slot went to somebody else
 * @property {() => void} onBack the person wants another slot
 * @property {() => void} onAgain the hold ran out, and the person wants the same slot
 */

export class Checkout {
  #timer = 0;
  #announced = Infinity;
  /** Seconds of a hold that is not at its cap. */
  #full = 0;
  #sending = false;
  #ended = false;
  /** @type {Held | undefined} */
  #held;
  #ending = new AbortController();

  /** @param {Pending} pending @param {[string, string][]} summary @param {string} zone @param {Handlers} handlers */
  constructor(pending, summary, zone, handlers) {
    this.pending = pending;
    this.handlers = handlers;
    this.heading = h("h2", { tabindex: "-1" }, t("held.title"));
    this.clock = h("b", { class: "clock", role: "timer", "aria-label": t("held.left") });
    this.more = h("button", { type: "button", onclick: () => void this.#extend() }, t("held.more"));
    this.time = h("p", { class: "row time" }, h("span", {}, t("held.left"), " ", this.clock), this.more);
    this.problem = h("p", { class: "error", role: "alert" });
    this.name = h("input", { id: "name", name: "name", autocomplete: "name", required: true, maxlength: 200, value: pending.name, "aria-describedby": "name-error" });
    this.nameError = h("span", { id: "name-error", class: "error" });
    this.contact = h("input", { id: "contact", name: "contact", autocomplete: "email", maxlength: 200, value: pending.contact, "aria-describedby": "contact-hint" });
    this.contactHint = h("small", { id: "contact-hint" }, t("contact.hint"));
    this.submit = h("button", { type: "submit", class: "primary" }, t("book"));
    this.back = h("button", { type: "button", class: "quiet", onclick: () => handlers.onBack() }, t("back"));
    this.form = h("form", { novalidate: true, onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.book();
    } },
    h("div", { class: "field" }, h("label", { for: "name" }, t("name")), this.name, this.nameError),
    h("div", { class: "field" }, h("label", { for: "contact" }, t("contact")), this.contact, this.contactHint),
    h("div", { class: "row" }, this.submit, this.back));
    const rows = [...summary, [t("when"), whenWords(pending.slot, zone)]].flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]);
    this.element = h("section", { class: "card checkout", "aria-label": t("held.title") }, this.heading, h("dl", {}, ...rows), this.time, this.problem, this.form);
  }

  /** Show how long the slot is held. @param {Held} held */
  start(held) {
    this.#held = held;
    this.#full = Math.max(this.#full, held.seconds);
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#tick(), SECOND / 4);
    this.#tick();
  }

  /** End the countdown, and a call that is under way. */
  stop() {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#ending.abort();
  }

  /** Keep what the person has written. */
  keep() {
    this.pending.name = this.name.value;
    this.pending.contact = this.contact.value;
  }

  #tick() {
    const left = Math.max(0, Math.ceil((/** @type {Held} */ (this.#held).endsAt - performance.now()) / SECOND));
    this.clock.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    this.time.classList.toggle("short", left <= ANNOUNCED_AT[0]);
    for (const seconds of ANNOUNCED_AT) {
      if (left <= seconds && this.#announced > seconds && left > 0) {
        this.#announced = seconds;
        announce(t("held.seconds", { count: left }));
        break;
      }
    }
    // If the booking may exist already, its own repeat has to find out.
    if (left === 0 && !this.pending.sent) this.#runOut();
  }

  #runOut() {
    clearInterval(this.#timer);
    announce("");
    this.keep();
    this.#ended = true;
    const again = h("button", { type: "button", class: "primary", onclick: () => this.handlers.onAgain() }, t("held.again"));
    this.heading.textContent = t("held.over");
    this.time.remove();
    this.form.replaceWith(h("p", {}, t("held.overText")), h("div", { class: "row" }, again, this.back));
    this.heading.focus();
  }

  async #extend() {
    if (this.more.getAttribute("aria-disabled")) return;
    this.problem.textContent = "";
    try {
      const held = await hold(this.pending, { signal: this.#ending.signal });
      this.#announced = Infinity;
      this.start(held);
      if (held.seconds < this.#full - CAPPED_SECONDS) {
        this.more.setAttribute("aria-disabled", "true");
        announce(t("held.most"));
        this.problem.textContent = t("held.most");
      } else announce(t("held.seconds", { count: Math.round(held.seconds) }));
    } catch (error) {
      if (this.#ended) return;
      if (isTaken(error)) this.handlers.onTaken(error);
      else this.problem.textContent = sentenceOf(error);
    }
  }

  /** Whether a booking was sent whose outcome is not known. */
  get isUnsettled() {
    return this.pending.sent && !this.#ended;
  }

  /** Send the booking, once however often it is asked for; a repeat has the same key. */
  async book() {
    if (this.#sending || this.#ended) return;
    this.keep();
    if (!this.#isFilledIn()) return;
    this.#setSending(true);
    const { pending } = this;
    pending.sent = true;
    rememberPending(pending);
    try {
      this.handlers.onBooked(await sendBooking(pending, this.#ending.signal, (reason) => (this.problem.textContent = t(reason))));
      this.stop();
    } catch (error) {
      if (this.#ended) return;
      this.#failed(error);
    }
  }

  /** @param {unknown} error */
  #failed(error) {
    const isKnown = error instanceof Refusal && error.status < 500;
    if (isKnown) {
      this.pending.sent = false;
      this.pending.key = newKey(); // the next one may have another name
      rememberPending(this.pending);
    }
    if (isTaken(error)) {
      this.stop();
      this.handlers.onTaken(error);
      return;
    }
    this.#setSending(false);
    if (error instanceof Refusal && error.status === 400) {
      const isContact = /contact/.test(error.message);
      this.#mark(isContact ? this.contact : this.name, isContact ? t("contact.wrong") : t("name.wrong"));
      return;
    }
    // Without an answer, the booking may exist: the same key finds out.
    this.problem.textContent = error instanceof NoAnswer || !isKnown ? t("unknown") : sentenceOf(error);
    if (!isKnown) this.submit.textContent = t("again");
    this.submit.focus();
  }

  #isFilledIn() {
    this.#mark(this.name, "");
    this.contactHint.classList.remove("error");
    this.contact.removeAttribute("aria-invalid");
    if (this.name.value.trim()) return true;
    this.#mark(this.name, t("name.missing"));
    return false;
  }

  /** @param {HTMLInputElement} input @param {string} sentence */
  #mark(input, sentence) {
    const place = input === this.name ? this.nameError : this.contactHint;
    place.textContent = sentence || (place === this.contactHint ? t("contact.hint") : "");
    place.classList.toggle("error", Boolean(sentence));
    if (!sentence) return input.removeAttribute("aria-invalid");
    input.setAttribute("aria-invalid", "true");
    input.focus();
  }

  /** @param {boolean} sending */
  #setSending(sending) {
    this.#sending = sending;
    if (sending) this.problem.textContent = "";
    this.submit.textContent = sending ? t("booking") : t("book");
    for (const button of [this.submit, this.back, this.more]) {
      if (sending) button.setAttribute("aria-disabled", "true");
      else button.removeAttribute("aria-disabled");
    }
    // The same key needs the same request.
    this.name.readOnly = this.contact.readOnly = sending || this.pending.sent;
  }
}

/**
 * Book a pending choice; a repeat after a reload is the same request.
 * @param {Pending} pending
 * @param {AbortSignal} signal
 * @param {(reason: "busy" | "offline") => void} onRepeat
 */
export function sendBooking(pending, signal, onRepeat) {
  const contact = pending.contact.trim();
  const body = { ...fieldsOfBooking(pending), patientName: pending.name, ...(contact ? { contact } : {}) };
  return call("POST", "book-appointment", { body, key: pending.key, patience: BOOKING_PATIENCE_SECONDS, signal, onRepeat });
}
