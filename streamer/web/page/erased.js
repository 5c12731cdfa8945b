// The report of an erasure, in words for whom it is of. It names them, so it is in this page's memory alone: until it is
// closed, the page is, or somebody else signs in.

import { service } from "./api.js";
import { observable, useObserved } from "./observable.js";
import { addressOf, say } from "./parts.js";
import { html, useEffect, useRef } from "./vendor/preact.js";

const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const DONE_BY = { service: "the service sees to it", purge: "the next purge sees to it", you: "you have to see to it" };

export const erased = observable({ reports: new Map() }); // person's id -> {name, at, report}

export const hold = (id, name, report) => erased.set({ reports: new Map(erased.value.reports).set(id, { name, at: new Date(), report }) });

function letGo(id) {
  const reports = new Map(erased.value.reports);
  reports.delete(id);
  erased.set({ reports });
}

let owner;
service.follow(({ session }) => {
  if (session?.name !== owner && erased.value.reports.size) erased.set({ reports: new Map() });
  owner = session?.name;
});

const counted = (count, one) => `${count.toLocaleString()} ${one}${count === 1 ? "" : "s"}`;

// Sentences for somebody outside.
function sentences({ name, at, report: { complete, counts, left } }) {
  const photos = counts.photos ? `, ${counted(counts.photos, "photo")} and what was made of ${counts.photos === 1 ? "it" : "them"} to recognise ${name}` : "";
  const visits = counts.visits ? `, ${counted(counts.visits, "visit")} with pictures` : "";
  return [
    `${name} was erased on ${DAY.format(at)} at ${TIME.format(at)}${complete ? "" : ", but for what is named below"}.`,
    `Erased: the name${photos}${visits}, and all messages that waited to be sent of ${name}.`,
    `Kept: an id without a name, in the list of the forgotten and in the log of who did what, so that ${name} stays forgotten though a backup is put back.`,
    `Cameras do not know ${name} any more, and see somebody unknown. Where visits of unknown people are kept, later ones are kept like those of any stranger.`,
    `Not reached: copies and exports that were made before, messages that others have received, and pictures of other people’s visits in which ${name} stands beside them or passes by; those go when these visits do.`,
    ...left.map(({ where, why, done_by }) => `Left: ${where}: ${why} (${DONE_BY[done_by]}).`),
  ];
}

export function Erased({ id, name, at, report }) {
  const title = useRef();
  const words = useRef();
  useEffect(() => title.current.focus(), []); // what had the focus is gone with the person
  const told = sentences({ name, at, report });
  async function copy() {
    const text = told.join("\n");
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      getSelection().selectAllChildren(words.current); // not over https: the older way
      if (!document.execCommand("copy")) return say("The browser lets nothing be copied here: the text is marked, copy it by its menu.", { isBad: true });
    }
    say("Copied.");
  }
  return html`<h1 ref=${title} tabindex="-1">${report.complete ? `${name} was erased` : `${name} was erased, but for what is named below`}</h1>
    <div class="erasure" ref=${words}>${told.map((one) => html`<p>${one}</p>`)}</div>
    <div class="buttons"><button type="button" class="main copy" onClick=${copy}>Copy</button><button type="button" onClick=${() => print()}>Print</button>
      <button type="button" class="close" onClick=${() => (letGo(id), location.replace(addressOf("people")))}>Close the report</button></div>
    <p class="hint">This page keeps the report until it is closed, under People; the name is stored nowhere any more.</p>
    <details class="steps"><summary>Step by step</summary>
      <ul class="report">${report.steps.map(({ done, step }) => html`<li><b>${step}</b>: ${done}</li>`)}</ul></details>`;
}

// On the list of people, without a name: whoever passes the screen need not read it.
export function Reports() {
  const { reports } = useObserved(erased);
  return [...reports].map(([id, { at }]) => html`<p class="quiet reports">Somebody was erased at ${TIME.format(at)}. <a href=${addressOf("people", id)}>Show the report</a></p>`);
}
