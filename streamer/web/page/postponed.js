// What is done in a few seconds, unless it is taken back. Whoever leaves the screen, the tab, the page or the session has
// it done at once: what was asked for is never lost.

import { beforeSignOut, service } from "./api.js";

const waiting = new Map(); // key -> {timer, send}
const underWay = new Set();

// send(options): a promise that is never rejected; options are for ask().
export function putOff(key, afterMs, send) {
  waiting.set(key, { send, timer: setTimeout(() => go(key), afterMs) });
}

// Whether it was in time.
export function takeBack(key) {
  clearTimeout(waiting.get(key)?.timer);
  return waiting.delete(key);
}

// A promise of all that was put off, and of what is under way already.
export function atOnce(options) {
  for (const key of [...waiting.keys()]) go(key, options);
  return Promise.all(underWay);
}

function go(key, options) {
  const { send, timer } = waiting.get(key);
  clearTimeout(timer);
  waiting.delete(key);
  follow(send(options));
}

// A promise, never rejected, of what is under way: atOnce() waits for it, too.
export function follow(sending) {
  const sent = sending.finally(() => underWay.delete(sent));
  underWay.add(sent);
}

// The browser ends what it has begun though the page is gone.
const leaving = () => atOnce({ keepalive: true });
addEventListener("pagehide", leaving);
document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && leaving());
addEventListener("beforeunload", (event) => {
  if (!service.value.answers && waiting.size + underWay.size) event.preventDefault(); // the browser asks: it would be lost
});
beforeSignOut(() => atOnce());
