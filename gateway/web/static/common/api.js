// Calls of the service. A call that got no answer, 503 or 504 is repeated with the same key: that is always safe.
import { ROOT, meta } from "./dom.js";
import { recall, remember } from "./session.js";

/**
 * @typedef {object} Options
 * @property {Record<string, unknown>} [body]
 * @property {Record<string, string | number | string[] | undefined>} [query]
 * @property {string} [key] the Idempotency-Key; a repeat of this call needs the same
 * @property {string | number} [version] the version for If-Match
 * @property {string} [token] sent in place of the page's key, such as a patient's link
 * @property {number} [patience] seconds for which the call is repeated; 0: it is sent once
 * @property {(reason: "offline" | "busy") => void} [onRepeat] called before each pause
 * @property {AbortSignal} [signal]
 * @property {boolean} [keepalive] the call may outlive the page
 */
/** @typedef {{status: number, headers: Headers, body: any}} Answer */

const ATTEMPT_MS = 15000;
const LONGEST_PAUSE_MS = 10000;
const SESSION_KEY = "api-key";

/** An answer that is not 2xx: `type` is for programs, the message a sentence for people. */
export class Refusal extends Error {
  /** @param {number} status @param {Headers} headers @param {any} body */
  constructor(status, headers, body) {
    super(body?.error ?? `The service answered ${status}`);
    this.status = status;
    this.headers = headers;
    this.body = body;
    this.type = headers.get("Error-Type") ?? "";
    this.retryAfter = Number(headers.get("Retry-After")) || 0;
  }
}

/** The outcome is not known, although the call was repeated: the same call may be sent again. */
export class NoAnswer extends Error {
  /** @param {"offline" | "busy"} reason */
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/** The key of this tab, else the publishable one of the page. */
export const apiKey = () => recall(SESSION_KEY) || meta("api-key");

/** Keep a key for this tab; "" forgets it. @param {string} key */
export const useKey = (key) => remember(SESSION_KEY, key);

/** Whether a call was refused because this page has no key at all; the operator reads in the console what to do. @param {unknown} error */
export function lacksKey(error) {
  const lacks = error instanceof Refusal && error.status === 401 && !apiKey();
  if (lacks) console.warn("This gateway has API keys, and its pages have none: set PAGE_KEY to a publishable key that may book and hold.");
  return lacks;
}

/** Return a random UUID, as a key or token. `crypto.randomUUID` is missing in pages that came over plain http. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The URL of a call. @param {string} path below /api/ @param {Options["query"]} [query] */
export function urlOf(path, query = {}) {
  const url = new URL(`api/${path}`, ROOT);
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) url.searchParams.append(name, String(one));
  }
  return url;
}

/**
 * Send a call, and repeat it until its outcome is known or patience is over.
 * @param {string} method
 * @param {string} path below /api/
 * @param {Options} [options]
 * @returns {Promise<Answer>}
 * @throws {Refusal | NoAnswer | DOMException} the last if `signal` aborts it
 */
export async function call(method, path, options = {}) {
  const ends = Date.now() + (options.patience ?? 30) * 1000;
  for (let attempt = 0; ; attempt++) {
    /** @type {"offline" | "busy"} */
    let reason = "busy";
    let pause = Math.min(250 * 2 ** attempt, LONGEST_PAUSE_MS);
    try {
      return await send(method, path, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof Refusal) {
        if (error.status !== 503 && error.status !== 504) throw error;
        pause = Math.min(Math.max(pause, error.retryAfter * 1000), LONGEST_PAUSE_MS);
      } else reason = "offline";
      if (Date.now() + pause > ends) throw error instanceof Refusal ? error : new NoAnswer(reason);
    }
    options.onRepeat?.(reason);
    await sleep(pause * (0.8 + 0.4 * Math.random()), options.signal, reason === "offline");
  }
}

/** @param {string} method @param {string} path @param {Options} options @returns {Promise<Answer>} */
async function send(method, path, { body, query, key, version, token, signal, keepalive }) {
  const headers = new Headers();
  const secret = token || apiKey();
  if (secret) headers.set("Authorization", `Bearer ${secret}`);
  if (key) headers.set("Idempotency-Key", key);
  if (version !== undefined) headers.set("If-Match", `"${version}"`);
  if (body) headers.set("Content-Type", "application/json");
  const limit = AbortSignal.timeout(ATTEMPT_MS);
  const response = await fetch(urlOf(path, query), {
    method, headers, keepalive, body: body && JSON.stringify(body), signal: signal ? AbortSignal.any([signal, limit]) : limit,
  });
  const text = await response.text();
  const read = response.headers.get("Content-Type")?.startsWith("application/json") ? JSON.parse(text) : text;
  if (!response.ok) throw new Refusal(response.status, response.headers, read);
  return { status: response.status, headers: response.headers, body: read };
}

/**
 * Read all pages of a list.
 * @param {string} path
 * @param {string} field the name of the list in the body
 * @param {Options} [options]
 * @returns {Promise<any[]>}
 */
export async function readAll(path, field, options = {}) {
  const rows = [];
  /** @type {string | undefined} */
  let cursor;
  do {
    const { body } = await call("GET", path, { ...options, query: { ...options.query, cursor } });
    rows.push(...body[field]);
    cursor = body.next;
  } while (cursor);
  return rows;
}

/** Wait; with `wake`, until the browser is online again if that is sooner. @param {number} ms @param {AbortSignal} [signal] @param {boolean} [wake] */
export function sleep(ms, signal, wake = false) {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      signal?.removeEventListener("abort", end);
      done(undefined);
    };
    const timer = setTimeout(end, ms);
    if (wake) addEventListener("online", end);
    signal?.addEventListener("abort", end);
  });
}
