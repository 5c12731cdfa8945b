// What is done in a few seconds, unless it is taken back. Whoever leaves the screen, the tab, the page or the session has
// it done at once: what was asked for is never lost.

import { beforeSignOut, service } from "./api.js";

const waiting = new Map(); // key -> {timer, send}, the last one
const underWay = new Set();

// send(): a promise; it asks by keepalive, or what is sent already would end with the page.
export function putOff(key, afterMs, send) {
  takeBack(key);
  waiting.set(key, { send, timer: setTimeout(() => go(key), afterMs) });
}

// Whether it was in time.
export function takeBack(key) {
  clearTimeout(waiting.get(key)?.timer);
  return waiting.delete(key);
}

// A promise of all that was put off, and of what is under way already.
export function atOnce() {
  for (const key of [...waiting.keys()]) go(key);
  return Promise.all(underWay);
}

function go(key) {
  const { send, timer } = waiting.get(key);
  clearTimeout(timer);
  waiting.delete(key);
  follow(send());
}

// What is under way: atOnce() waits for it, too, and for the others though this one has a fault.
export function follow(sending) {
  const sent = sending.catch((fault) => reportError(fault)).finally(() => underWay.delete(sent));
  underWay.add(sent);
}

// The browser ends what it has begun though the page is gone; Firefox does so from 133 on.
const mayOutlast = "keepalive" in Request.prototype;
addEventListener("pagehide", () => atOnce());
document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && atOnce());
addEventListener("beforeunload", (event) => {
  if ((service.value.answers && mayOutlast) || !(waiting.size + underWay.size)) return;
  if (!mayOutlast) atOnce(); // while the browser asks whether to leave: else it would be lost
  event.preventDefault();
  event.returnValue = "lost"; // Chrome before 119 asks by this alone
});
beforeSignOut(() => atOnce());
