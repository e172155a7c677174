// Build elements. Text is always text: nothing that a server or a person sent is read as HTML.

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * Create an element. A property `on…` is a listener, `class` the class, others are attributes; `true` is an
 * attribute without a value, `false`, `null` and `undefined` are none.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child != null && child !== false).map(toNode));
  return element;
}

/** @param {Child} child */
function toNode(child) {
  return child instanceof Node ? child : String(child);
}

/**
 * Return the element with an id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * Return the content of a `<meta>` of the page; "" if it is absent.
 * @param {string} name
 */
export function meta(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
}

/** The last name in the path of the page; "" if it is not well encoded. */
export function nameInPath() {
  try {
    return decodeURIComponent(location.pathname.split("/").at(-1) ?? "");
  } catch {
    return "";
  }
}

/** The URL of the service's root, also behind a proxy that adds a prefix. */
export const ROOT = new URL(meta("root") || "/", document.baseURI);

const polite = h("p", { role: "status", class: "unseen" });
document.body.append(polite);

/**
 * Tell people with screen readers something, without a change of focus; "" takes back what is not true any more.
 * @param {string} text
 */
export function announce(text) {
  polite.textContent = "";
  requestAnimationFrame(() => (polite.textContent = text));
}
