// Changes of appointments, each with the version that the person sees, and how each is undone.
import { NoAnswer, Refusal, call, newKey } from "../common/api.js";
import { has, t } from "../common/i18n.js";
import { clock, dayOf, longDate } from "../common/time.js";

/** @typedef {import("./model.js").Appointment} Appointment */
/** @typedef {import("./model.js").DayModel} DayModel */
/** @typedef {{slot: string, patientName: string, contact?: string, resources: string[], service?: string, durationMinutes?: number}} Wish */
/** @typedef {{slot?: string, resources?: string[], durationMinutes?: number, patientName?: string, attendance?: string}} Fields */

const MOST_UNDONE = 20;

/** Return the sentence for a call that failed. @param {unknown} error */
export function sentenceOf(error) {
  if (error instanceof NoAnswer) return t("noAnswer");
  if (!(error instanceof Refusal)) throw error;
  const reason = error.type === "SlotNotOffered" ? `notOffered.${error.body?.reason}` : `refused.${error.type}`;
  if (has(reason)) return t(reason);
  return error.status === 503 || error.status === 504 ? t("noAnswer") : error.message;
}

/**
 * Every method throws what `call` throws, after the day was read again. Emits `change` if what can be undone changed,
 * and `waiting`, with the reason in `detail`, while a call without an answer is repeated.
 */
export class Changes extends EventTarget {
  /** @type {{what: string, run: () => Promise<string>}[]} */ #done = [];
  /** What became of an appointment here: its version after the last change, and its new id if it was booked anew. */
  /** @type {Map<string, {id: string, version: number}>} */ #latest = new Map();

  /** The id of the appointment that was changed last. */
  changed = "";

  /** @param {DayModel} model */
  constructor(model) {
    super();
    this.model = model;
  }

  /** The change that `undo` would undo, in words. */
  get undoable() {
    return this.#done.at(-1)?.what;
  }

  /** Read an appointment as it is now. @param {string} id @returns {Promise<Appointment>} */
  async read(id) {
    return (await call("GET", `appointments/${id}`, { patience: 5 })).body.appointment;
  }

  /** Book. A repeat of the same wish needs the same key. @param {Wish} wish @param {string} key */
  async book(wish, key) {
    const booked = await this.#send("POST", "book-appointment", { body: { site: this.model.site, ...wish }, key });
    const said = this.#words("booked", booked);
    this.#push(said, async () => {
      const { id, version } = this.#current(booked);
      return this.#words("cancelled", await this.#send("DELETE", `appointments/${id}`, { version }));
    });
    return said;
  }

  /** Move or correct an appointment. @param {Appointment} before @param {Fields} fields @param {"moved" | "renamed" | "arrived" | "missed" | "expected"} kind */
  async change(before, fields, kind) {
    // An amendment takes no key: sent twice, it changes nothing the second time.
    const keyOf = () => (kind === "moved" ? newKey() : undefined);
    const after = await this.#patch(before, fields, keyOf());
    const said = this.#words(kind, after, kind === "moved" ? before : undefined);
    const old = Object.fromEntries(Object.keys(fields).map((name) => [name, /** @type {any} */ (before)[name] ?? OLD[name]]));
    const key = keyOf();
    this.#push(said, async () => {
      const restored = await this.#patch(this.#current(before), old, key);
      return this.#words("restored", await this.#attend(restored, before), before);
    });
    return said;
  }

  /** @param {Appointment} before */
  async cancel(before) {
    await this.#send("DELETE", `appointments/${before.id}`, { version: before.version });
    const said = this.#words("cancelled", before);
    const { slot, resources, patientName = "", contact, service, durationMinutes } = before;
    const place = service ? { service } : { durationMinutes };
    const key = newKey();
    this.#push(said, async () => {
      const body = { site: this.model.site, slot, resources, patientName, ...(contact && { contact }), ...place };
      const booked = await this.#send("POST", "book-appointment", { body, key });
      this.#latest.set(before.id, booked);
      return this.#words("bookedAgain", await this.#attend(booked, before), before);
    });
    return said;
  }

  /**
   * Undo the last change. A cancelled appointment is booked anew, with a new id. Only without an answer can the
   * same change be undone once more, by the same request.
   */
  async undo() {
    const last = this.#done.at(-1);
    if (!last) return "";
    try {
      const said = await last.run();
      this.#drop(last);
      return said;
    } catch (error) {
      if (error instanceof NoAnswer || (error instanceof Refusal && error.status > 500)) throw error;
      this.#drop(last);
      if (!(error instanceof Refusal)) throw error;
      return t("notUndone", { what: last.what, why: sentenceOf(error) });
    }
  }

  /** @param {{id: string, version: number}} one @returns {{id: string, version: number}} */
  #current(one) {
    const latest = this.#latest.get(one.id);
    return !latest || latest.id === one.id ? (latest ?? one) : this.#current(latest);
  }

  /** @param {{id: string, version: number}} before @param {Record<string, unknown>} fields @param {string} [key] */
  #patch(before, fields, key) {
    return this.#send("PATCH", `appointments/${before.id}`, { body: fields, version: before.version, key });
  }

  /** Note again that a patient arrived or is missing, which a booking anew and a move end. @param {Appointment} after @param {Appointment} before */
  async #attend(after, { attendance }) {
    if (!attendance || after.attendance === attendance) return after;
    try {
      return await this.#patch(after, { attendance });
    } catch (error) {
      if (error instanceof Refusal && error.status < 500) return after;
      throw error;
    }
  }

  /** @param {string} method @param {string} path @param {import("../common/api.js").Options} options @returns {Promise<Appointment>} */
  async #send(method, path, options) {
    try {
      const onRepeat = (/** @type {string} */ reason) => this.dispatchEvent(new CustomEvent("waiting", { detail: reason }));
      const { appointment } = (await call(method, path, { ...options, onRepeat })).body;
      this.#latest.set(appointment.id, appointment);
      this.changed = appointment.id;
      return appointment;
    } finally {
      await this.model.refresh();
    }
  }

  /** The sentences about a change. If it ended the attendance that was there before, they say so. @param {string} what @param {Appointment} one @param {Appointment} [before] */
  #words(what, one, before) {
    const { date, zone } = this.model;
    const values = {
      name: one.patientName ?? t("noName"),
      time: (dayOf(one.slot, zone) === date ? "" : `${longDate(one.slot, zone)}, `) + clock(one.slot, zone),
      where: one.resources.map(this.model.titleOf).join(", "),
    };
    const ended = before?.attendance && !one.attendance;
    return t(`done.${what}`, values) + (ended ? ` ${t("done.expected", values)}` : "");
  }

  /** @param {string} what @param {() => Promise<string>} run */
  #push(what, run) {
    this.#done = [...this.#done, { what, run }].slice(-MOST_UNDONE);
    this.dispatchEvent(new Event("change"));
  }

  /** @param {{what: string, run: () => Promise<string>}} one */
  #drop(one) {
    this.#done = this.#done.filter((other) => other !== one);
    this.dispatchEvent(new Event("change"));
  }
}

/** What an appointment has if it lacks a field. @type {Record<string, unknown>} */
const OLD = { attendance: "expected" };
