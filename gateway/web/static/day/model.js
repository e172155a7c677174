// A day of a site: its schedules, openings, appointments with names, and holds. It is read again on each hint.
import { readAll } from "../common/api.js";
import { watch } from "../common/live.js";
import { addDays, instantOf, visitorZone } from "../common/time.js";

/** @typedef {{id: string, title: string, durationMinutes: number, bufferBefore?: number, bufferAfter?: number, resources?: string[]}} Service */
/** @typedef {{resource: string, title: string, timeZone: string, services: Service[], stepMinutes: number, version: number} & Record<string, any>} Schedule */
/** @typedef {{id: string, resources: string[], slot: string, durationMinutes: number, version: number, patientName?: string, contact?: string, service?: string, attendance?: string, bufferBefore?: number, bufferAfter?: number}} Appointment */
/** @typedef {{resource: string, from: number, to: number}} Span Unix ms */

const MINUTE_MS = 60000;
// Names and attendance are no change of a slot, so the stream of slots has no hint of them.
const READ_AGAIN_MS = 10000;

/** The end of an appointment (Unix ms). @param {Appointment} one */
export const endOf = (one) => Date.parse(one.slot) + one.durationMinutes * MINUTE_MS;

/** Emits `change` after each read, and `failed` with the error in `detail` if a read failed. */
export class DayModel extends EventTarget {
  /** @type {Schedule[]} */ schedules = [];
  /** @type {Span[]} */ openings = [];
  /** @type {Appointment[]} */ appointments = [];
  /** @type {Span[]} */ held = [];
  date = "";
  zone = visitorZone;
  isCurrent = false;
  #wanted = false;
  /** @type {Promise<void> | undefined} */ #reading;
  /** @type {{stop: () => void} | undefined} */ #stream;

  /** @param {string} site */
  constructor(site) {
    super();
    this.site = site;
    setInterval(() => this.date && document.visibilityState === "visible" && void this.refresh(), READ_AGAIN_MS);
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.date && void this.refresh());
  }

  /** The time of the shown day. */
  get window() {
    const [from, to] = [this.date, addDays(this.date, 1)].map((day) => new Date(instantOf(day, this.zone)).toISOString());
    return { from, to };
  }

  /** All resources: those with services, others with a schedule, and those that only have appointments. @returns {{id: string, title: string}[]} */
  get resources() {
    const offering = (/** @type {Schedule} */ one) => Number(one.services.length > 0);
    const known = [...this.schedules].sort((one, other) => offering(other) - offering(one)).map((one) => ({ id: one.resource, title: one.title }));
    const others = new Set(this.appointments.flatMap((one) => one.resources));
    for (const { id } of known) others.delete(id);
    const found = [...known, ...[...others].sort().map((id) => ({ id, title: id }))];
    return found.length ? found : [{ id: "default", title: "default" }];
  }

  /** The resources that people book: those with services, or all if none has services. */
  get bookable() {
    const offering = this.resources.filter(({ id }) => this.schedule(id)?.services.length);
    return offering.length ? offering : this.resources;
  }

  /** @param {string} resource */
  schedule = (resource) => this.schedules.find((one) => one.resource === resource);

  /** @param {string} resource */
  titleOf = (resource) => this.schedule(resource)?.title ?? resource;

  /** The service of an appointment; undefined if it has none, or a schedule does not have it any more. @param {Appointment} one */
  serviceOf(one) {
    return one.resources.flatMap((name) => this.schedule(name)?.services ?? []).find(({ id }) => id === one.service);
  }

  /** The resource that a person chose; the others came with the service. @param {Appointment} one */
  mainResourceOf(one) {
    const offers = (/** @type {string} */ name) => this.schedule(name)?.services.some(({ id }) => id === one.service);
    return one.resources.find(offers) ?? one.resources.find((name) => this.schedule(name)?.services.length) ?? one.resources[0];
  }

  /** Whether the part of an appointment that lies on this day is not within the opening hours of a resource. @param {Appointment} one */
  isOutside(one) {
    const { from, to } = this.window;
    const [begin, end] = [Math.max(Date.parse(one.slot), Date.parse(from)), Math.min(endOf(one), Date.parse(to))];
    const isOpen = (/** @type {string} */ resource) =>
      this.openings.some((opening) => opening.resource === resource && opening.from <= begin && end <= opening.to);
    return begin < end && one.resources.some((resource) => this.schedule(resource) && !isOpen(resource));
  }

  /** Read the schedules. The zone of most of them is that of the page. */
  async readSchedules() {
    this.schedules = await readAll(`schedules/${this.site}`, "schedules");
    const zones = this.schedules.map((one) => one.timeZone);
    const count = (/** @type {string} */ zone) => zones.filter((other) => other === zone).length;
    this.zone = [...zones].sort((one, other) => count(other) - count(one))[0] ?? visitorZone;
  }

  /** Show a day, and keep it up to date. @param {string} date */
  async show(date) {
    this.date = date;
    this.appointments = [];
    this.openings = [];
    this.held = [];
    this.#stream?.stop();
    this.#stream = watch(
      { site: this.site, ...this.window },
      (taken) => {
        this.held = joined(taken.filter((row) => row.state === "held"));
        void this.refresh();
      },
      (connected) => connected || this.#fail(undefined),
    );
    await this.refresh();
  }

  /** Read the day; the answer is of a read that began after this call. */
  refresh() {
    this.#wanted = true;
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #read() {
    while (this.#wanted) {
      this.#wanted = false;
      const { date } = this;
      const options = { query: { site: this.site, ...this.window }, patience: 5 };
      try {
        const [openings, appointments] = await Promise.all([
          readAll("openings", "open", options),
          readAll("appointments", "appointments", options),
        ]);
        if (date !== this.date) continue;
        this.openings = openings.map((one) => ({ ...one, from: Date.parse(one.from), to: Date.parse(one.to) }));
        this.appointments = appointments;
        this.isCurrent = true;
        this.dispatchEvent(new Event("change"));
      } catch (error) {
        if (date === this.date) this.#fail(error);
      }
    }
  }

  /** @param {unknown} error */
  #fail(error) {
    this.isCurrent = false;
    this.dispatchEvent(new CustomEvent("failed", { detail: error }));
  }

  /** The times of a resource that are open and not booked (with buffers) or held, from `after` on. @param {string} resource @param {number} after */
  gaps(resource, after) {
    const booked = this.appointments
      .filter((one) => one.resources.includes(resource))
      .map((one) => ({ from: Date.parse(one.slot) - (one.bufferBefore ?? 0) * MINUTE_MS, to: endOf(one) + (one.bufferAfter ?? 0) * MINUTE_MS }));
    const busy = [...booked, ...this.held.filter((one) => one.resource === resource)].sort((one, other) => one.from - other.from);
    /** @type {Span[]} */
    const found = [];
    for (const opening of this.openings.filter((one) => one.resource === resource)) {
      let from = Math.max(opening.from, after);
      for (const span of busy) {
        if (span.to <= from || span.from >= opening.to) continue;
        if (span.from > from) found.push({ resource, from, to: span.from });
        from = Math.max(from, span.to);
      }
      if (from < opening.to) found.push({ resource, from, to: opening.to });
    }
    return found;
  }
}

/** Join held cells that touch. @param {import("../common/live.js").Taken[]} rows @returns {Span[]} */
function joined(rows) {
  /** @type {Span[]} */
  const spans = [];
  const cells = rows.map(({ resource, slot, durationMinutes }) => ({ resource, from: Date.parse(slot), to: Date.parse(slot) + durationMinutes * MINUTE_MS }));
  for (const cell of cells.sort((one, other) => one.resource.localeCompare(other.resource) || one.from - other.from)) {
    const last = spans.at(-1);
    if (last?.resource === cell.resource && cell.from <= last.to) last.to = Math.max(last.to, cell.to);
    else spans.push(cell);
  }
  return spans;
}
