// The day as a grid: resources side by side, by EventCalendar (https://vkurko.github.io/calendar/).
import { h } from "../common/dom.js";
import { locale, t } from "../common/i18n.js";
import { clock, dayOf, instantOf, offsetAt, visitorZone } from "../common/time.js";
import { focusOn, focused } from "./focus.js";
import { endOf } from "./model.js";
import { wallOf } from "./wall.js";
import { briefly } from "./words.js";

/** @typedef {import("./model.js").DayModel} DayModel */
/** @typedef {import("./model.js").Appointment} Appointment */

const VENDOR = new URL("../vendor/event-calendar/event-calendar.min", import.meta.url).href;
const MINUTE_MS = 60000;
const [EARLIEST, LATEST] = [8, 18];

/** Load EventCalendar, which is a script and no module. @returns {Promise<any>} */
async function load() {
  const style = h("link", { rel: "stylesheet", href: `${VENDOR}.css` });
  const script = h("script", { src: `${VENDOR}.js` });
  const loaded = Promise.all([style, script].map((element) => new Promise((done, fail) => Object.assign(element, { onload: done, onerror: fail }))));
  // The styles of the page come later, so that they win.
  document.head.prepend(style, script);
  await loaded;
  return /** @type {any} */ (globalThis).EventCalendar;
}

export class Grid {
  /** @type {any} */ #calendar;
  #isDragging = false;

  /** @param {HTMLElement} element @param {DayModel} model @param {import("./actions.js").Actions} actions */
  constructor(element, model, actions) {
    this.element = element;
    this.model = model;
    this.actions = actions;
    this.started = this.#start();
  }

  async #start() {
    const library = await load();
    // EventCalendar knows fixed offsets alone. It gets wall-clock times, so only its line of now needs the offset.
    this.#calendar = library.create(this.element, {
      view: "resourceTimeGridDay",
      headerToolbar: { start: "", center: "", end: "" },
      locale,
      timeZone: offsetText(offsetAt(Date.now(), this.model.zone)),
      allDaySlot: false,
      nowIndicator: true,
      editable: true,
      eventDurationEditable: false,
      slotDuration: "00:15",
      slotHeight: 28,
      height: "auto",
      columnWidth: "minmax(9rem, 1fr)",
      eventContent: (/** @type {any} */ info) => this.#content(info.event),
      dateClick: (/** @type {any} */ info) => this.actions.book({ at: this.#instant(info.dateStr), resource: info.resource.id }),
      eventDragStart: () => (this.#isDragging = true),
      eventDragStop: () => setTimeout(() => {
        this.#isDragging = false;
        this.render();
      }),
      eventDrop: (/** @type {any} */ info) => void this.#drop(info),
    });
    this.render();
  }

  /** @param {(one: Appointment) => boolean} [isShown] */
  render(isShown = this.isShown) {
    this.isShown = isShown;
    if (!this.#calendar || this.#isDragging) return;
    const { model } = this;
    const shown = model.appointments.filter(isShown);
    const spans = [...model.openings, ...shown.map((one) => ({ from: Date.parse(one.slot), to: endOf(one) }))];
    const begin = instantOf(model.date, model.zone);
    const hour = (/** @type {number} */ at) => (at - begin) / (60 * MINUTE_MS);
    const first = Math.max(0, Math.floor(Math.min(spans.length ? 24 : EARLIEST, ...spans.map(({ from }) => hour(from)))));
    const last = Math.min(24, Math.ceil(Math.max(spans.length ? first + 1 : LATEST, ...spans.map(({ to }) => hour(to)))));
    const step = Math.min(30, ...model.schedules.map((one) => one.stepMinutes));
    const set = (/** @type {string} */ name, /** @type {unknown} */ value) => this.#calendar.setOption(name, value);
    set("resources", model.resources);
    set("date", model.date);
    // The label of the first line is not shown, so the grid begins half an hour earlier.
    const top = Math.max(0, first * 60 - 30);
    set("slotMinTime", { minutes: top });
    set("slotMaxTime", { hours: last });
    set("snapDuration", { minutes: step });
    const events = [
      ...this.#closed(begin + top * MINUTE_MS, begin + last * 60 * MINUTE_MS).map((one) => this.#background(one, "closed")),
      ...shown.flatMap((one) => this.#buffers(one)),
      ...model.held.map((one) => this.#background(one, "held")),
      ...shown.map((one) => this.#event(one)),
    ];
    const before = focused(this.element);
    set("events", events);
    requestAnimationFrame(() => {
      this.#mendRoles();
      if (document.activeElement === document.body) focusOn(before, this.element);
    });
  }

  /** @type {(one: Appointment) => boolean} */
  isShown = () => true;

  /** @param {Appointment} one */
  #event(one) {
    const zone = this.model.zone;
    return {
      id: one.id, resourceIds: one.resources, start: wallOf(one.slot, zone), end: wallOf(endOf(one), zone),
      title: one.patientName ?? t("noName"), classNames: [one.attendance ?? "expected", ...(this.model.isOutside(one) ? ["outside"] : [])], extendedProps: { one },
    };
  }

  /** The times at which resources with a schedule are closed. @param {number} from @param {number} to */
  #closed(from, to) {
    /** @type {import("./model.js").Span[]} */
    const closed = [];
    for (const { resource } of this.model.schedules) {
      let at = from;
      for (const opening of this.model.openings.filter((one) => one.resource === resource)) {
        if (opening.from > at) closed.push({ resource, from: at, to: opening.from });
        at = Math.max(at, opening.to);
      }
      if (at < to) closed.push({ resource, from: at, to });
    }
    return closed;
  }

  /** @param {Appointment} one */
  #buffers(one) {
    const [from, to] = [Date.parse(one.slot), endOf(one)];
    return one.resources.flatMap((resource) => [
      ...(one.bufferBefore ? [this.#background({ resource, from: from - one.bufferBefore * MINUTE_MS, to: from }, "buffer")] : []),
      ...(one.bufferAfter ? [this.#background({ resource, from: to, to: to + one.bufferAfter * MINUTE_MS }, "buffer")] : []),
    ]);
  }

  /** @param {import("./model.js").Span} span @param {string} kind */
  #background({ resource, from, to }, kind) {
    const zone = this.model.zone;
    const label = kind === "held" ? t("held") : "";
    return { display: "background", resourceIds: [resource], start: wallOf(from, zone), end: wallOf(to, zone), classNames: [`bg-${kind}`], extendedProps: { label } };
  }

  /** A real button, for EventCalendar's own is an article. Names are text, never HTML. @param {any} event */
  #content({ display, start, extendedProps }) {
    const { label, one } = /** @type {{label?: string, one?: Appointment}} */ (extendedProps);
    if (!one) return { domNodes: label ? [h("span", { class: "label" }, label)] : [] };
    const about = [this.model.serviceOf(one)?.title, briefly(this.model, one)].filter(Boolean).join(", ");
    // While an event is dragged, its preview has the time at which it would be dropped.
    const time = display === "preview" ? clock(start, visitorZone) : clock(one.slot, this.model.zone);
    const open = () => {
      const latest = this.#latest(one);
      if (latest && !this.#isDragging) this.actions.open(latest);
    };
    return {
      domNodes: [
        h("button", { type: "button", class: "event", "data-focus": `open ${one.id}`, onclick: open },
          h("span", {}, time), " ", h("strong", {}, one.patientName ?? t("noName")), about && " ", about && h("span", {}, about)),
      ],
    };
  }

  /** @param {Appointment | undefined} one */
  #latest(one) {
    return this.model.appointments.find(({ id }) => id === one?.id);
  }

  /** @param {any} info */
  async #drop({ event, delta, oldResource, newResource, revert }) {
    const one = this.#latest(event.extendedProps.one);
    if (!one) return revert();
    const resources = newResource ? one.resources.map((name) => (name === oldResource.id ? newResource.id : name)) : one.resources;
    // The dates of EventCalendar are in the zone of the browser, so only the distance is of use.
    const wall = Date.parse(`${wallOf(one.slot, this.model.zone)}Z`) + delta.days * 864e5 + delta.seconds * 1000;
    const slot = new Date(this.#instant(new Date(wall).toISOString())).toISOString();
    const distinct = new Set(resources).size === resources.length;
    if (!distinct || !(await this.actions.drop(one, { slot, ...(newResource && { resources }) }))) {
      revert();
      this.render();
    }
    // The element that the person dragged is gone. The new one is there after the next frame.
    requestAnimationFrame(() => focusOn(`open ${one.id}`, this.element));
  }

  /** The instant at which the clock on the wall shows a time. @param {string} wall such as "2030-01-07T09:30:00" */
  #instant(wall) {
    return instantOf(wall.slice(0, 10), this.model.zone, wall.slice(11, 16));
  }

  /**
   * EventCalendar gives its grid half of a table's roles and some landmarks, which is worse than none, and makes an
   * empty article of each time in the background. The table is the other view.
   */
  #mendRoles() {
    for (const element of this.element.querySelectorAll('[role="table"], [role^="row"], [role="columnheader"], [role="cell"]')) {
      element.removeAttribute("role");
      element.removeAttribute("aria-colindex");
    }
    for (const element of this.element.querySelectorAll("nav, aside")) element.setAttribute("role", "presentation");
    for (const element of this.element.querySelectorAll(".ec-bg-event")) element.setAttribute("aria-hidden", "true");
  }
}

/** @param {number} minutes */
function offsetText(minutes) {
  const part = (/** @type {number} */ number) => String(number).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${part(Math.floor(Math.abs(minutes) / 60))}:${part(Math.abs(minutes) % 60)}`;
}
