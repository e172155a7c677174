// What a tab remembers across a reload. In a frame whose storage is blocked, it remembers nothing.

/** @type {Map<string, string>} */
const instead = new Map();

/** @param {string} name @returns {string} "" if nothing is stored */
export function recall(name) {
  try {
    return sessionStorage.getItem(name) ?? "";
  } catch {
    return instead.get(name) ?? "";
  }
}

/** Store a text; "" forgets it. @param {string} name @param {string} text */
export function remember(name, text) {
  try {
    if (text) sessionStorage.setItem(name, text);
    else sessionStorage.removeItem(name);
  } catch {
    instead.set(name, text);
  }
}
