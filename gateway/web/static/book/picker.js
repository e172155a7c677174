// Days and slots of an offer. A slot that somebody takes while one looks stays in its place, and says so.
import { call, readAll } from "../common/api.js";
import { announce, h } from "../common/dom.js";
import { list, t } from "../common/i18n.js";
import { watch } from "../common/live.js";
import { addDays, clock, dayOf, format, formatRange, instantOf, longDate, visitorZone, zoneName } from "../common/time.js";
import { Availability } from "./availability.js";
import { fieldsOf, needed } from "./choice.js";

/** @typedef {import("./choice.js").Schedule} Schedule */
/** @typedef {import("./availability.js").FreeSlot} FreeSlot */
/** @typedef {import("./availability.js").State} State */
/** @typedef {import("./availability.js").Want} Want */
/** @typedef {import("../common/live.js").Taken} Taken */
/** @typedef {{button: HTMLButtonElement, free: FreeSlot, state: State}} Shown */

const DAYS = 7;
const AGAIN_MS = 250;
const SUGGESTIONS = 3;

export class Picker {
  /** The day that is shown. */
  day = "";
  /** The slot that this person is taking: nobody is told that it is gone. */
  own = "";
  #available = new Availability({ offer: { id: "", title: "", minutes: [], offeredBy: [] }, among: [] });
  #from = "";
  #zone = "";
  /** @type {Map<string, Shown>} */
  #shown = new Map();
  #reading = new AbortController();
  #days = h("div", { class: "days", role: "group", "aria-label": t("days") });
  #slots = h("div", { class: "slots-of-day" });
  #stale = h("p", { class: "soft", role: "status" });
  #note = h("p", { class: "soft", role: "status" });
  #earlier = h("button", { type: "button", class: "quiet", onclick: () => this.#turn(-DAYS) }, t("earlier"));
  #later = h("button", { type: "button", class: "quiet", onclick: () => this.#turn(DAYS) }, t("later"));
  #week = h("b", { class: "week" });
  #zoneNote = h("p", { class: "soft" });
  /** @type {{stop: () => void} | undefined} */
  #watch;
  #again = 0;
  /** @type {Promise<void> | undefined} the reading of a week */
  #loading;
  /** The list of the next free slots that is on the page, and what it was last. */
  #suggested = { slot: "", element: h("div"), words: "", isRead: false };

  /**
   * @param {string} site
   * @param {(free: FreeSlot, among: Schedule[]) => void} onChoose called with the resources that are free then
   * @param {(slot: string, sentence: string) => void} onGone the slot that was chosen is not free any more
   */
  constructor(site, onChoose, onGone) {
    this.site = site;
    this.onChoose = onChoose;
    this.onGone = onGone;
    this.element = h("div", { class: "picker" }, this.#zoneNote, h("div", { class: "weeks" }, this.#earlier, this.#week, this.#later), this.#days, this.#stale, this.#note, this.#slots);
  }

  /** Show the slots of what is wanted, from a day on; without a day, from the first that has one. @param {Want} want @param {string} [day] */
  async show(want, day = "") {
    this.#available = new Availability(want);
    this.#zone = want.among[0].timeZone;
    const today = dayOf(Date.now(), this.#zone);
    this.day = day > today ? day : "";
    await (this.#loading = this.#load(this.day || today, true));
  }

  /** End reading and watching. */
  stop() {
    this.#reading.abort();
    this.#watch?.stop();
    clearTimeout(this.#again);
  }

  /** Return an element that names the free slots after one that is gone, and follows all changes. @param {string} slot */
  suggestions(slot) {
    this.#suggested = { slot, element: h("div", {}, h("p", {}, t("loading"))), words: "", isRead: false };
    void this.#suggestAnew();
    return this.#suggested.element;
  }

  /** What is known may be older than the refusal: read the free slots first. */
  async #suggestAnew() {
    const suggested = this.#suggested;
    await this.#loading;
    await this.#refresh();
    suggested.isRead = true;
    this.#suggest();
  }

  #suggest() {
    const { slot, element, isRead } = this.#suggested;
    if (!isRead) return;
    const zone = this.#zone;
    const day = dayOf(slot, zone);
    const isInWeek = day >= this.#from && day < addDays(this.#from, DAYS);
    const next = isInWeek ? this.#available.free((one) => one.slot > slot).slice(0, SUGGESTIONS) : [];
    const words = next.map((one) => {
      const time = clock(one.slot, zone);
      const isThatDay = day === this.day && day === dayOf(one.slot, zone);
      return isThatDay ? time : `${time} (${format(one.slot, zone, { weekday: "short", day: "numeric", month: "short" })})`;
    });
    const sentence = next.length ? t("nextFree", { times: list(words) }) : t("nextNone");
    if (sentence === this.#suggested.words) return;
    this.#suggested.words = sentence;
    const hadFocus = element.contains(document.activeElement);
    const buttons = next.map((one, index) => h("button", { type: "button", onclick: () => this.choose(one) }, words[index]));
    element.replaceChildren(h("p", {}, sentence), h("div", { class: "row" }, ...buttons));
    if (hadFocus) (buttons[0] ?? this.#shown.get(slot)?.button)?.focus();
  }

  /** Mark a slot as taken, as a refusal has said; the next events decide anew. @param {string} slot @param {State} state */
  mark(slot, state) {
    const shown = this.#shown.get(slot);
    if (shown) this.#setState(shown, state);
  }

  /** Choose a free slot, as a click on it would. @param {FreeSlot} free */
  choose(free) {
    const among = this.#available.resourcesAt(free);
    if (among.length) this.onChoose(free, among);
    else {
      const isHeld = this.#available.stateOf(free) === "held";
      this.onGone(free.slot, isHeld ? t("refused.SlotHeld") : t("slot.goneNow", { time: clock(free.slot, this.#zone) }));
    }
  }

  /** @param {number} days */
  #turn(days) {
    const today = dayOf(Date.now(), this.#zone);
    const from = addDays(this.#from, days);
    this.day = "";
    this.#loading = this.#load(from > today ? from : today, false);
  }

  /** @param {string} from @param {boolean} search for a later week if this one has nothing */
  async #load(from, search) {
    this.stop();
    const { signal } = (this.#reading = new AbortController());
    this.#from = from;
    this.#clear();
    this.#note.textContent = t("loading");
    try {
      await this.#read(signal);
      if (search && !this.#available.slots.length) {
        const { body } = await call("GET", "next-free", { query: { ...this.#query(), from: this.#window().to }, ...this.#calling(signal) });
        if (body.free.length) {
          this.#from = dayOf(body.free[0].slot, this.#zone);
          this.day = "";
          await this.#read(signal);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#note.replaceChildren(t("failed"), " ", h("button", { type: "button", onclick: () => void (this.#loading = this.#load(from, search)) }, t("again")));
      return;
    }
    this.#follow();
    this.#render();
  }

  /** @param {AbortSignal} signal */
  async #read(signal) {
    const query = { ...this.#query(), ...this.#window() };
    this.#available.renew(await readAll("free-slots", "free", { query, ...this.#calling(signal) }));
  }

  /** @param {AbortSignal} signal */
  #calling(signal) {
    return { signal, onRepeat: (/** @type {"busy" | "offline"} */ reason) => (this.#note.textContent = t(reason)) };
  }

  #query() {
    const { offer, among } = this.#available.want;
    return { site: this.site, ...fieldsOf(offer), any: 1, resource: among.map((schedule) => schedule.resource) };
  }

  #window() {
    const at = (/** @type {string} */ day) => new Date(instantOf(day, this.#zone)).toISOString();
    return { from: at(this.#from), to: at(addDays(this.#from, DAYS)) };
  }

  #follow() {
    const { offer, among } = this.#available.want;
    const resource = [...new Set(among.flatMap((schedule) => needed(offer, schedule)))];
    this.#watch = watch({ site: this.site, ...this.#window(), resource }, (taken) => this.#apply(taken), (connected) => this.#setLive(connected));
  }

  /** Say that slots may be out of date while nothing tells of changes. @param {boolean} connected */
  #setLive(connected) {
    if (connected && this.#stale.textContent) void this.#refresh();
    this.#stale.textContent = connected ? "" : t("stale");
  }

  /** @param {Taken[]} taken */
  #apply(taken) {
    const isFreed = this.#available.note(taken);
    for (const shown of this.#shown.values()) this.#setState(shown, this.#available.stateOf(shown.free));
    this.#count();
    this.#suggest();
    if (isFreed) {
      // Something became free: it may be a slot that was never listed.
      clearTimeout(this.#again);
      this.#again = setTimeout(() => void this.#refresh(), AGAIN_MS);
    }
  }

  async #refresh() {
    const { signal } = this.#reading;
    try {
      await this.#read(signal);
    } catch {
      return; // what is shown stays, and the stream goes on
    }
    this.#render();
  }

  #clear() {
    this.#days.replaceChildren();
    this.#slots.replaceChildren();
    this.#shown.clear();
    this.#available = new Availability(this.#available.want);
  }

  #render() {
    const zone = this.#zone;
    const days = Array.from({ length: DAYS }, (_, number) => addDays(this.#from, number));
    const withFree = days.find((day) => this.#available.free((one) => dayOf(one.slot, zone) === day).length);
    if (!days.includes(this.day)) this.day = withFree ?? days[0];
    const today = dayOf(Date.now(), zone);
    const { among } = this.#available.want;
    const horizon = Math.max(...among.map((schedule) => schedule.horizonDays ?? 366));
    this.#earlier.disabled = this.#from <= today;
    this.#later.disabled = addDays(this.#from, DAYS) > addDays(today, horizon);
    const noon = (/** @type {string} */ day) => instantOf(day, zone, "12:00");
    const buttons = days.map((day) => this.#dayButton(day, noon(day)));
    if (this.#days.children.length !== buttons.length) this.#days.replaceChildren(...buttons);
    this.#week.textContent = formatRange(noon(days[0]), noon(days[DAYS - 1]), zone, { day: "numeric", month: "short" });
    this.#zoneNote.textContent = t("zone", { city: (zone.split("/").at(-1) ?? zone).replaceAll("_", " "), offset: zoneName(noon(this.day), zone) });
    this.#count();
    this.#renderSlots();
    this.#suggest();
  }

  /** @param {string} day @param {number} noon */
  #dayButton(day, noon) {
    return h("button", {
      type: "button", class: "day", "data-day": day, "aria-pressed": String(day === this.day),
      onclick: () => {
        this.day = day;
        for (const one of this.#days.children) one.setAttribute("aria-pressed", String(one.getAttribute("data-day") === day));
        this.#renderSlots();
        this.#suggest();
      },
    },
    h("span", { "aria-hidden": "true" }, format(noon, this.#zone, { weekday: "short" })),
    h("b", { "aria-hidden": "true" }, format(noon, this.#zone, { day: "numeric" })),
    h("span", { class: "unseen" }, longDate(noon, this.#zone)),
    h("small", {}));
  }

  /** Write on each day how many slots it has. */
  #count() {
    for (const button of this.#days.children) {
      const day = button.getAttribute("data-day");
      const count = this.#available.free((one) => dayOf(one.slot, this.#zone) === day).length;
      const small = /** @type {HTMLElement} */ (button.querySelector("small"));
      small.textContent = count ? t("free", { count }) : t("none");
      button.classList.toggle("empty", !count);
    }
  }

  #renderSlots() {
    const zone = this.#zone;
    const ofDay = this.#available.slots.filter((one) => dayOf(one.slot, zone) === this.day);
    const focused = [...this.#shown].find(([, shown]) => shown.button === document.activeElement)?.[0];
    const before = this.#shown;
    this.#shown = new Map();
    /** @type {Map<string, HTMLElement[]>} */
    const parts = new Map();
    for (const free of ofDay) {
      const shown = before.get(free.slot) ?? { button: this.#slotButton(free.slot), free, state: /** @type {const} */ ("free") };
      shown.free = free;
      this.#shown.set(free.slot, shown);
      this.#setState(shown, this.#available.stateOf(free));
      const hour = Number(format(free.slot, zone, { hour: "2-digit", hourCycle: "h23" }, "en").slice(0, 2));
      const part = hour < 12 ? "morning" : hour < 17 ? "afternoon" : "evening";
      parts.set(part, [...(parts.get(part) ?? []), h("li", {}, shown.button)]);
    }
    const sections = [...parts].flatMap(([part, items]) => [h("h3", {}, t(part)), h("ul", { class: "slots", role: "list" }, ...items)]);
    this.#slots.replaceChildren(...sections);
    this.#note.textContent = ofDay.length ? "" : t("noSlots");
    if (focused) this.#shown.get(focused)?.button.focus();
  }

  /** @param {string} slot */
  #slotButton(slot) {
    const zone = this.#zone;
    const elsewhere = zoneName(slot, zone) !== zoneName(slot, visitorZone) && clock(slot, zone) !== clock(slot, visitorZone);
    const there = elsewhere ? t("yourTime", { time: clock(slot, visitorZone) }) : "";
    return h("button", { type: "button", class: "slot", "data-slot": slot, onclick: () => {
      const shown = this.#shown.get(slot);
      if (shown) this.choose(shown.free);
    } },
    h("span", { class: "unseen" }, `${longDate(slot, zone)}, `),
    h("span", {}, clock(slot, zone)),
    there && h("small", {}, there),
    h("small", { class: "state" }));
  }

  /** @param {Shown} shown @param {Shown["state"]} state */
  #setState(shown, state) {
    const { button } = shown;
    const words = /** @type {HTMLElement} */ (button.querySelector(".state"));
    if (state !== "free" && shown.state === "free" && shown.free.slot !== this.own && document.activeElement === button) {
      announce(t("slot.goneNow", { time: clock(shown.free.slot, this.#zone) }));
    }
    shown.state = state;
    const text = t(`slot.${state}`);
    if (words.textContent !== text) words.textContent = text;
    words.classList.toggle("unseen", state === "free");
    button.toggleAttribute("data-gone", state !== "free");
    if (state === "free") button.removeAttribute("aria-disabled");
    else button.setAttribute("aria-disabled", "true");
  }
}
