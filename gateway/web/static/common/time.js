// Instants, days and wall clocks in time zones, by the browser's own data (Intl).
import { locale } from "./i18n.js";

/** @typedef {string} Day A date, such as "2030-01-07". */

/** The zone of the person who looks. */
export const visitorZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * Format an instant.
 * @param {string | number | Date} instant
 * @param {string} zone
 * @param {Intl.DateTimeFormatOptions} options
 */
export const format = (instant, zone, options, where = locale) => formatOf(zone, options, where).format(new Date(instant));

/**
 * Format two instants as a range.
 * @param {number} from @param {number} to @param {string} zone @param {Intl.DateTimeFormatOptions} options
 */
export const formatRange = (from, to, zone, options) => formatOf(zone, options, locale).formatRange(from, to);

/** @param {string} zone @param {Intl.DateTimeFormatOptions} options @param {string} where */
function formatOf(zone, options, where) {
  const key = JSON.stringify([where, zone, options]);
  let known = formats.get(key);
  if (!known) formats.set(key, (known = new Intl.DateTimeFormat(where, { timeZone: zone, ...options })));
  return known;
}

/** The wall clock, such as "10:30" or "10:30 AM". @param {string | number | Date} instant @param {string} zone */
export const clock = (instant, zone) => format(instant, zone, { hour: "numeric", minute: "2-digit" });

/** A date in words. @param {string | number | Date} instant @param {string} zone */
export const longDate = (instant, zone) =>
  format(instant, zone, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

/** The name of a zone at an instant, such as "GMT+1". @param {string | number | Date} instant @param {string} zone */
export const zoneName = (instant, zone) =>
  format(instant, zone, { timeZoneName: "short", hour: "numeric" }).split(/\s/).at(-1) ?? zone;

/** The date that a zone has at an instant. @param {string | number | Date} instant @param {string} zone @returns {Day} */
export const dayOf = (instant, zone) =>
  format(instant, zone, { year: "numeric", month: "2-digit", day: "2-digit" }, "en-CA");

/** A date some days later. @param {Day} day @param {number} days @returns {Day} */
export function addDays(day, days) {
  const date = new Date(`${day}T12:00:00Z`);
  date.setUTCDate(date.getUTCDate() + days);
  return date.toISOString().slice(0, 10);
}

/**
 * Return minutes of a zone ahead of UTC at an instant.
 * @param {number} instant Unix ms
 * @param {string} zone
 */
export function offsetAt(instant, zone) {
  const wall = format(instant, zone, {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  }, "en-CA");
  const [year, month, date, hour, minute] = (wall.match(/\d+/g) ?? []).map(Number);
  return Math.round((Date.UTC(year, month - 1, date, hour, minute) - Math.floor(instant / 60000) * 60000) / 60000);
}

/**
 * Return the instant (Unix ms) at which a day of a zone begins, or its first wall-clock time from `time` on.
 * A time that a clock change skips is the instant of the change.
 * @param {Day} day
 * @param {string} zone
 * @param {string} [time] such as "09:30"
 */
export function instantOf(day, zone, time = "00:00") {
  const wall = Date.parse(`${day}T${time}:00Z`);
  // The offset of the instant itself: those of half a day before and after are the only ones that it can have.
  const offsets = [offsetAt(wall - 54e6, zone), offsetAt(wall + 54e6, zone)];
  const exact = offsets.map((offset) => wall - offset * 60000).filter((at) => at + offsetAt(at, zone) * 60000 === wall);
  if (exact.length) return Math.min(...exact);
  let low = wall - Math.max(...offsets) * 60000, high = wall - Math.min(...offsets) * 60000;
  while (high - low > 60000) {
    const middle = Math.floor((low + high) / 120000) * 60000;
    if (offsetAt(middle, zone) === offsetAt(low, zone)) low = middle;
    else high = middle;
  }
  return high;
}
