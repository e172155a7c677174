// What is booked or held in a window, as it changes (`GET /api/live`).
// Not EventSource, which cannot send a key.
import { apiKey, sleep, urlOf } from "./api.js";

/** @typedef {{resource: string, slot: string, durationMinutes: number, state: "booked" | "held"}} Taken */

const SILENCE_MS = 40000;
const PAUSE_MS = 2000;

/**
 * Watch a window until `stop` is called.
 * @param {{site: string, from: string, to: string, resource?: string[]}} window
 * @param {(taken: Taken[]) => void} onChange called with all rows, at first and after each change
 * @param {(connected: boolean) => void} [onState]
 * @returns {{stop: () => void}}
 */
export function watch(window, onChange, onState = () => {}) {
  const ending = new AbortController();
  void follow(window, onChange, onState, ending.signal);
  return { stop: () => ending.abort() };
}

/** @param {Parameters<typeof watch>[0]} window @param {(taken: Taken[]) => void} onChange @param {(connected: boolean) => void} onState @param {AbortSignal} signal */
async function follow(window, onChange, onState, signal) {
  while (!signal.aborted) {
    try {
      await readStream(window, onChange, onState, signal);
    } catch {
      // The next turn connects again, and gets a new snapshot.
    }
    if (signal.aborted) return;
    onState(false);
    await sleep(PAUSE_MS * (0.5 + Math.random()), signal, true);
  }
}

/** @param {Parameters<typeof watch>[0]} window @param {(taken: Taken[]) => void} onChange @param {(connected: boolean) => void} onState @param {AbortSignal} signal */
async function readStream(window, onChange, onState, signal) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  const secret = apiKey();
  const response = await fetch(urlOf("live", window), {
    headers: secret ? { Authorization: `Bearer ${secret}` } : {},
    cache: "no-store",
    signal: AbortSignal.any([signal, silence.signal]),
  });
  if (!response.ok || !response.body) throw new Error(String(response.status));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  /** @type {Map<string, Taken>} */
  const rows = new Map();
  const key = (/** @type {Taken} */ row) => `${row.resource} ${row.slot}`;
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      const events = (text + value).split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) {
        const name = /^event: (.*)$/m.exec(event)?.[1];
        const data = /^data: (.*)$/m.exec(event)?.[1];
        if (!name || !data) continue;
        const { taken, freed = [] } = JSON.parse(data);
        if (name === "snapshot") rows.clear();
        for (const row of freed) rows.delete(key(row));
        for (const row of taken) rows.set(key(row), row);
        onState(true);
        onChange([...rows.values()]);
      }
    }
  } finally {
    clearTimeout(timer);
  }
}
