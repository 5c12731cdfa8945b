// One visit in the list: who, where, when, for how long; what may be said of it, and what the camera saw.

import { may } from "./api.js";
import { Correction, Naming } from "./naming.js";
import { addressOf, Dialog, Face, Picture } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { pictureOf, whoWords } from "./visits.js";

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const WHOLE = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", hour: "numeric", minute: "2-digit", second: "2-digit" });
const [THIS_YEAR, OTHER_YEAR] = [{}, { year: "numeric" }].map((more) => new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", ...more }));

// Of markup without a value htm keeps the first that it made, for good: in a row, Preact's links would keep that row by it, its list
// of then, and so every row there ever was. With a value it is made anew each time.
const NOW = "now";

// A Date in.
export function dayWords(date) {
  const now = new Date();
  const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
  if (date.toDateString() === now.toDateString()) return "Today";
  if (date.toDateString() === yesterday.toDateString()) return "Yesterday";
  return (date.getFullYear() === now.getFullYear() ? THIS_YEAR : OTHER_YEAR).format(date);
}

function durationWords(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// change(visit): somebody has said whose it is; hold(visit, whether something is open).
export function Visit({ visit, change, hold }) {
  const [open, show] = useState("");
  const setOpen = (what) => (hold(visit, Boolean(what)), show(what));
  const { person, camera, first_seen_at: from, captured_at: to, isOver, isByHand } = visit;
  const who = whoWords(visit);
  const clock = CLOCK.format(from * 1000);
  const close = () => setOpen("");
  const row = useRef();
  const before = useRef("");
  useEffect(() => {
    if (before.current === "fix" && !open) row.current.querySelector(".buttons button")?.focus();
    before.current = open;
  }, [open]);
  const face = html`<${Face} src=${pictureOf(visit, "face")} name=${who} />`;
  return html`<li ref=${row} class="visit" data-id=${visit.event_id} data-known=${String(Boolean(person))} aria-label=${`${who}, ${camera}, ${clock}`}>
    ${visit.snapshot ? html`<button type="button" class="picture" aria-label=${`Show the picture of ${who}`} onClick=${() => setOpen("scene")}>${face}</button>` : face}
    <div class="told">
      <p class="name">${person ? html`<a href=${addressOf("people", person.id)}>${who}</a>` : who}</p>
      <p class="where"><a href=${addressOf("live", camera)}>${camera}</a>
        <span><time datetime=${new Date(from * 1000).toISOString()} title=${WHOLE.format(from * 1000)}>${clock}</time>${isOver ? ` for ${durationWords(to - from)}` : ""}</span>
        ${!isOver && html`<span class=${NOW}>there now</span>`}${isByHand && html`<span class="quiet">${person ? "named by hand" : "nobody known, by hand"}</span>`}</p>
    </div>
    ${may("operator") && open !== "fix" && html`<div class="buttons">
      ${person ? html`<button type="button" class="wrong" onClick=${() => setOpen("fix")}>Not ${who}?</button>` : html`<button type="button" class="who-is-this" onClick=${() => setOpen("name")}>Who is this?</button>`}</div>`}
    ${open === "fix" && html`<${Correction} visit=${visit} onDone=${(fixed) => (change(fixed), close())} onClose=${close} />`}
    ${open === "name" && html`<${Naming} visit=${visit} onDone=${(named) => (change(named), close())} onClose=${close} />`}
    ${open === "scene" && html`<${Scene} visit=${visit} who=${who} onClose=${close} />`}
  </li>`;
}

// The whole picture; others may be in it, too.
function Scene({ visit, who, onClose }) {
  const { person, camera, similarity, isByHand, first_seen_at: from } = visit;
  const measured = person && !isByHand && similarity !== null;
  return html`<${Dialog} title=${`${who}, ${camera}`} onClose=${onClose}>
    <div class="whose"><${Face} src=${pictureOf(visit, "face")} name=${who} />
      <p class="quiet">${WHOLE.format(from * 1000)}${measured && ` · similarity ${similarity.toFixed(2)}`}</p></div>
    <${Picture} className="scene" src=${pictureOf(visit, "scene")} name=${`What ${camera} saw`} /></${Dialog}>`;
}
