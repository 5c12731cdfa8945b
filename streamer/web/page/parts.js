// Small parts of every screen: times in words, a face, a dialog, what is said to whoever looks.

import { service } from "./api.js";
import { observable, useObserved } from "./observable.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const DAY_AND_TIME = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const SAID_FOR_MS = 8000;
const LONG_MS = 5000;

// Unix seconds in; the time alone for today's.
export function timeWords(at) {
  const date = new Date(at * 1000);
  return (date.toDateString() === new Date().toDateString() ? TIME : DAY_AND_TIME).format(date);
}

// So long, in words.
export function lasted(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

export const addressOf = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

const saying = observable({ words: "", isBad: false, action: null });
let quietAgain;

// One line at the edge of the page, read out by screen readers, too. isBad: it stays until it is closed. action:
// {words, run, keys}: a button after it, gone once it has been run; run may say what came of it, and may raise Problem.
// keys: "Control+z", which is as good as the button wherever one is. Returns isLast(): whether nothing else was said since.
export function say(words, { isBad = false, action = null } = {}) {
  saying.set({ words, isBad, action });
  letGo();
  return () => saying.value.words === words && saying.value.action === action;
}

// Nothing that has one of these words is said any longer.
export function hush(words) {
  if (words.some((one) => saying.value.words.includes(one))) say("");
}

// It goes by itself, unless it is bad or somebody is at it.
function letGo() {
  clearTimeout(quietAgain);
  if (saying.value.words && !saying.value.isBad) quietAgain = setTimeout(() => say(""), SAID_FOR_MS);
}

const stay = () => clearTimeout(quietAgain);

export function Said() {
  const { words, isBad, action } = useObserved(saying);
  const [isBusy, setBusy] = useState(false);
  const line = useRef();
  const before = useRef(null); // what had the focus until it came here
  const isAt = () => line.current?.matches(":hover, :focus-within");

  async function run() {
    if (isBusy) return;
    setBusy(true);
    stay();
    try {
      await action.run();
      if (saying.value.action === action) say("");
    } catch (problem) {
      if (problem.code === undefined) throw problem; // a fault of this page, for the console
      say(problem.message, { isBad: true });
    } finally {
      setBusy(false);
      if (line.current?.contains(document.activeElement) && before.current?.isConnected) before.current.focus({ preventScroll: true });
    }
  }
  useEffect(() => {
    if (!action?.keys) return undefined;
    const pressed = (event) => {
      if (!isKeys(event, action.keys) || event.target.closest?.("input, select, dialog")) return;
      event.preventDefault();
      run();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
  return html`<div ref=${line} class=${`said ${isBad ? "trouble" : ""}`} role="status" data-empty=${String(!words)}
    onPointerEnter=${stay} onPointerLeave=${() => isBusy || isAt() || letGo()}
    onfocusin=${({ relatedTarget }) => (stay(), line.current.contains(relatedTarget) || (before.current = relatedTarget))} onfocusout=${() => isBusy || setTimeout(() => isAt() || letGo())}>
    <span>${words}</span>
    ${words && html`<div>${action && html`<button type="button" class="action" aria-keyshortcuts=${action.keys} onClick=${run}>${isBusy ? "One moment…" : action.words}</button>`}
      <button type="button" class="plain" aria-label="Close this message" onClick=${() => say("")}>✕</button></div>`}
  </div>`;
}

const isKeys = ({ ctrlKey, metaKey, shiftKey, key }, keys) => keys === "Control+z" && (ctrlKey || metaKey) && !shiftKey && key.toLowerCase() === "z";

// That something is on its way; where it takes long, why that may be, which alone is read out.
export function Waiting({ words = "One moment…" }) {
  const [isLong, setLong] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLong(true), LONG_MS);
    return () => clearTimeout(timer);
  }, []);
  return html`<p class="waiting">${words} <span role="status">${isLong ? "It takes longer than usual: the link is slow, or the service has much to do." : ""}</span></p>`;
}

export function Trouble({ problem }) {
  if (!problem) return null;
  return html`<div class="trouble" role="alert">
    <p>${problem.message}</p>
    ${problem.refused?.length > 0 && html`<ul>${problem.refused.map((one) => html`<li>${one.image ? `${one.image}: ` : ""}${one.why ?? one.detail ?? one.code}</li>`)}</ul>`}
  </div>`;
}

// Runs what takes a while, once at a time. [run, isBusy, problem, forget]
export function useAction(action) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const running = useRef(false);
  async function run(...given) {
    if (running.current) return undefined;
    running.current = true;
    setBusy(true);
    setProblem(null);
    try {
      return await action(...given);
    } catch (error) {
      if (error.code === undefined) throw error; // a fault of this page, for the console
      setProblem(error);
      return undefined;
    } finally {
      running.current = false;
      setBusy(false);
    }
  }
  return [run, busy, problem, () => setProblem(null)];
}

// A picture that may not be there (yet): asked for again a few times, then somebody without a face stands for it.
export function Face({ src, name = "", isLarge = false }) {
  return html`<${Picture} key=${src} src=${src} name=${name} className=${`face ${isLarge ? "large" : ""}`} />`; // another one begins anew
}

export function Picture({ src, name, className }) {
  const [tries, setTries] = useState(0);
  const [isBroken, setBroken] = useState(false);
  const timer = useRef();
  useEffect(() => () => clearTimeout(timer.current), []);
  if (!src || isBroken || tries > 2) return html`<span class=${`${className} none`} role="img" aria-label=${name ? `No picture of ${name}` : "No picture"}></span>`;
  function failed() {
    setBroken(true);
    timer.current = setTimeout(() => (setTries(tries + 1), setBroken(false)), 1500);
  }
  return html`<img key=${tries} class=${className} src=${src} alt=${name} loading="lazy" decoding="async" onError=${failed} />`;
}

// A dialog of the browser's own: it keeps the focus, and Escape closes it.
export function Dialog({ title, onClose, children }) {
  const { answers } = useObserved(service);
  const dialog = useRef();
  const isGone = useRef(false);
  useEffect(() => {
    const shown = dialog.current;
    const before = document.activeElement;
    shown.showModal();
    shown.querySelector("input")?.focus();
    return () => {
      isGone.current = true;
      shown.close(); // as long as it is open, nothing around it takes the focus
      if (before?.isConnected) before.focus();
    };
  }, []);
  return html`<dialog ref=${dialog} aria-label=${title} onClose=${() => isGone.current || onClose()} onClick=${(event) => event.target === dialog.current && dialog.current.close()}>
    <div class="dialog">
      <header><h2>${title}</h2><button type="button" class="plain" aria-label="Close" onClick=${() => dialog.current.close()}>✕</button></header>
      ${!answers && html`<p class="notice" role="alert">The service does not answer. This goes on by itself once it does.</p>`}
      ${children}
    </div>
  </dialog>`;
}

// A question before what can't be undone. lasting: said while it is done, of what takes long.
export function Sure({ title, words, verb, lasting = "", onYes, onClose }) {
  const [run, isBusy, problem] = useAction(onYes);
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <p>${words}</p>
    <p class="quiet" role="status">${isBusy ? lasting : ""}</p>
    <${Trouble} problem=${problem} />
    <div class="buttons">
      <button type="button" class="danger" disabled=${isBusy} onClick=${run}>${isBusy ? "One moment…" : verb}</button>
      <button type="button" disabled=${isBusy} onClick=${onClose}>No, leave it</button>
    </div>
  </${Dialog}>`;
}
