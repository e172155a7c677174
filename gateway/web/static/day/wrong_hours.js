// What is wrong with opening hours, in words for people. Other sentences of the service are shown as they are.
import { Refusal } from "../common/api.js";
import { has, language, t } from "../common/i18n.js";

const MONDAY = Date.UTC(2030, 0, 7);
export const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/** @type {[RegExp, string][]} */
const SENTENCES = [
  [/must be later than from$/, "order"],
  [/must not overlap, as \[(\d+)\] and \[(\d+)\] do(?: on (\w+))?$/, "overlap"],
  [/must be different, but \[(\d+)\] and \[(\d+)\] have the same (?:day|id)$/, "twins"],
  [/must be a date that exists/, "date"],
  [/must be different days of/, "days"],
  [/must be an IANA time zone/, "zone"],
  [/must be a country code/, "country"],
  [/title must/, "title"],
];

/** The name of a day of the week. @param {string} day such as "mon" @param {"long" | "short"} length */
export const dayName = (day, length) =>
  new Intl.DateTimeFormat(language, { weekday: length, timeZone: "UTC" }).format(MONDAY + DAYS.indexOf(day) * 864e5);

/** @param {unknown} error @returns {string | undefined} undefined: there are no such words */
export function wordsFor(error) {
  if (!(error instanceof Refusal) || error.status !== 400) return undefined;
  for (const [pattern, key] of SENTENCES) {
    const found = pattern.exec(error.message);
    if (!found) continue;
    const [, first, second, day] = found;
    const chosen = day && has(`wrong.${key}.day`) ? `wrong.${key}.day` : `wrong.${key}`;
    return t(chosen, { first: Number(first) + 1, second: Number(second) + 1, day: day ? dayName(day, "long") : "" });
  }
  return undefined;
}
