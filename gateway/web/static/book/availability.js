// Which of the offered slots are free now: the list that was read, and what others took since.
import { covered, needed } from "./choice.js";

/** @typedef {import("./choice.js").Offer} Offer */
/** @typedef {import("./choice.js").Schedule} Schedule */
/** @typedef {import("../common/live.js").Taken} Taken */
/** @typedef {{slot: string, local: string, durationMinutes?: number, resources: string[]}} FreeSlot */
/** @typedef {{offer: Offer, among: Schedule[]}} Want an offer, and the resources of which any will do */
/** @typedef {"free" | "held" | "booked"} State */

export class Availability {
  /** The slots that are shown, in order; one that is gone stays. @type {FreeSlot[]} */
  slots = [];
  /** @type {Taken[]} */
  taken = [];
  /** Slots that the last list does not have any more: a refusal may arrive before the event of its cause. */
  #gone = new Set();

  /** @param {Want} want */
  constructor(want) {
    this.want = want;
  }

  /** Take a list that was read anew; slots that it does not have any more stay, as taken. @param {FreeSlot[]} slots */
  renew(slots) {
    const fresh = new Set(slots.map((one) => one.slot));
    const gone = this.slots.filter((one) => !fresh.has(one.slot) && Date.parse(one.slot) > Date.now());
    this.#gone = new Set(gone.map((one) => one.slot));
    this.slots = [...slots, ...gone].sort((one, other) => (one.slot < other.slot ? -1 : 1));
  }

  /** Note what is taken now, and return whether anything became free. @param {Taken[]} taken */
  note(taken) {
    const name = (/** @type {Taken} */ row) => `${row.resource} ${row.slot}`;
    const now = new Set(taken.map(name));
    const isFreed = this.taken.some((row) => !now.has(name(row)));
    this.taken = taken;
    return isFreed;
  }

  /** The resources that are free at a slot. @param {FreeSlot} free */
  resourcesAt(free) {
    return this.#gone.has(free.slot) ? [] : this.#offered(free).filter((schedule) => !this.#inTheWay(free, schedule).length);
  }

  /** @param {FreeSlot} free @returns {State} */
  stateOf(free) {
    if (this.resourcesAt(free).length) return "free";
    const rows = this.#offered(free).map((schedule) => this.#inTheWay(free, schedule));
    return rows.some((each) => each.length && each.every((row) => row.state === "held")) ? "held" : "booked";
  }

  /** The free slots, of all days or those for which `test` holds. @param {(free: FreeSlot) => boolean} [test] */
  free(test = () => true) {
    return this.slots.filter((one) => test(one) && this.resourcesAt(one).length);
  }

  /** @param {FreeSlot} free */
  #offered(free) {
    return this.want.among.filter((schedule) => free.resources.includes(schedule.resource));
  }

  /** What is booked or held where a booking would be. @param {FreeSlot} free @param {Schedule} schedule */
  #inTheWay(free, schedule) {
    const names = needed(this.want.offer, schedule);
    const [from, to] = covered(this.want.offer, schedule, free.slot);
    return this.taken.filter((row) => {
      const begin = Date.parse(row.slot);
      return names.includes(row.resource) && begin < to && begin + row.durationMinutes * 60000 > from;
    });
  }
}
