// Texts, dates and times in the language of the page. The page has its texts with it.

/** @type {Record<string, string>} */
const texts = JSON.parse(document.getElementById("texts")?.textContent ?? "{}");

/** The language of the page, such as "de". */
export const language = document.documentElement.lang || "en";

const plural = new Intl.PluralRules(language);

/**
 * Return a text. `{name}` in it is replaced by the value of that name. If the values have `count`, the text
 * `<key>.one` or `<key>.other` is taken, as the language needs it.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  const chosen = "count" in values ? `${key}.${plural.select(Number(values.count))}` : key;
  const text = texts[chosen] ?? texts[`${key}.other`] ?? texts[key];
  if (text === undefined) throw new Error(`There is no text ${chosen}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** Whether there is a text of that key. @param {string} key */
export const has = (key) => key in texts;

/**
 * Return "a, b or c" in the language.
 * @param {string[]} parts
 * @param {"conjunction" | "disjunction" | "unit"} [type]
 */
export const list = (parts, type = "unit") => new Intl.ListFormat(language, { type, style: "short" }).format(parts);

/** The language with the reader's country, which decides between 13:30 and 1:30 PM. */
export const locale = navigator.languages.find((each) => each.split("-")[0] === language) ?? language;

// A link to another language keeps the rest of the address: the choice, and the secret of a patient's link.
for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("a[hreflang]"))) {
  link.addEventListener("click", () => {
    const url = new URL(location.href);
    url.searchParams.set("lang", link.hreflang);
    link.href = url.href;
  });
}
