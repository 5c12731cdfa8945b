// Events: who was seen, when and where; those of now as they happen, earlier ones as they were kept.

import { ask, may, service } from "./api.js";
import { Correction, Naming } from "./naming.js";
import { News } from "./news.js";
import { useObserved } from "./observable.js";
import { addressOf, Dialog, Face, timeWords, Trouble, Waiting } from "./parts.js";
import { html, useEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { useCameras } from "./live.js";
import { asSaid, isSame, joined, kept, live, newestFirst, now, pictureOf, saidByHand, whoWords } from "./visits.js";

const ENOUGH = 20; // of a page of what was asked for
const [MOST_PAGES, MOST_MS] = [5, 4000]; // looked through at once for so many
// Of markup without a value htm keeps the first that it made, for good: in a row, Preact's links would keep that row by it, its list
// of then, and so every row there ever was. With a value it is made anew each time.
const [NOW, QUIET] = ["now", "quiet"];
const WHO = { all: "Everybody", known: "Known people", unknown: "Unknown people" };

export function Events({ query }) {
  const asked = Object.fromEntries(["camera", "person", "day", "who"].map((key) => [key, query.get(key) ?? ""]));
  const [cameras] = useCameras();
  const { visits: heardOf, isOn, missed, said, gone } = useObserved(live);
  const person = usePerson(asked.person);
  const past = usePast(asked, missed, person);
  const visits = useMemo(() => wantedOf(now(new Map([...past.visits, ...newer(heardOf, past.visits)])), asked, person), [heardOf, said, gone, past.visits, person, query.toString()]);
  const heard = useMemo(() => wantedOf(now(heardOf), asked, person), [heardOf, said, gone, person, query.toString()]);
  const [held, hold] = useHeld();
  return html`<div class="title"><h1>${asked.person ? "Seen" : "Events"}</h1>
      <p class="state" role="status" data-state=${isOn ? "online" : "connecting"}>${isOn ? "as they happen" : "not up to date"}</p></div>
    <${Filters} asked=${asked} cameras=${cameras ?? []} />
    <${Trouble} problem=${past.problem} />
    ${past.isMissing && html`<p class="hint">No camera keeps its visits: what was before you came is not to be had, and nobody can be enrolled from an event.
      <code>whosthere cameras set door snapshots=true</code> turns it on.</p>`}
    <${News} visits=${heard} />
    <ol class="visits">${withHeld(visits, held).map((visit) => html`<${Visit} key=${visit.event_id} visit=${visit} change=${past.change} hold=${hold} />`)}</ol>
    ${(past.isBusy || !(past.isKnown || past.problem || past.isMissing)) && html`<${Waiting} />`}
    ${!past.isBusy && (past.isKnown || past.isMissing) && visits.length === 0 && html`<p class="empty">${past.next ? "None among the newest." : "Nobody was seen."}</p>`}
    ${!past.isBusy && past.next && html`<button type="button" class="more" onClick=${past.more}>Show older</button>`}`;
}

// What is heard is newer than what was kept; but whose it is may have been said since, here or by somebody else.
function newer(heardOf, past) {
  const fresh = [...heardOf].filter(([id, visit]) => visit.seq > (past.get(id)?.seq ?? 0));
  return fresh.map(([id, visit]) => [id, asSaid(past.get(id), visit)]);
}

// Visits of which something is open: as they were then, whatever is said of them elsewhere meanwhile. What is decided on
// them is held to what they are by then.
function useHeld() {
  const [held, setHeld] = useState(new Map());
  return [held, (visit, isOpen) => setHeld((before) => new Map([...before].filter(([id]) => id !== visit.event_id).concat(isOpen ? [[visit.event_id, visit]] : [])))];
}

const withHeld = (visits, held) => (held.size ? newestFirst(new Map([...visits.map((visit) => [visit.event_id, visit]), ...held])) : visits);

function wantedOf(visits, { camera, day, who }, person) {
  const [since, until] = boundsOf(day);
  return newestFirst(visits).filter(
    (visit) =>
      (!camera || visit.camera === camera) &&
      (!person || isSame(visit.person, person)) &&
      (!since || visit.captured_at >= since) && (!until || visit.first_seen_at < until) &&
      (!who || who === "all" || (who === "known") === Boolean(visit.person)),
  );
}

function boundsOf(day) {
  const [year, month, date] = day.split("-").map(Number);
  if (!date) return [null, null];
  return [new Date(year, month - 1, date).getTime() / 1000, new Date(year, month - 1, date + 1).getTime() / 1000];
}

// Whose visits are asked for, with the name, by which those of before a merge are known; {id, name} or null.
function usePerson(id) {
  const [person, setPerson] = useState(null);
  useEffect(() => {
    const cancelling = new AbortController();
    if (id) ask(`/api/v1/people/${encodeURIComponent(id)}`, { signal: cancelling.signal }).then(({ data }) => setPerson(data), () => {}); // the visits' own answer says why
    return () => cancelling.abort();
  }, [id]);
  return useMemo(() => (id ? { id, name: person?.name } : null), [id, person]);
}

// The kept visits that were asked for, page by page: {visits, next, isBusy, isMissing, problem, more(), change()}
function usePast(asked, missed, person) {
  const { again } = useObserved(service);
  const key = JSON.stringify([asked, again, missed]);
  const [found, setFound] = useState({ key: null, visits: new Map(), next: null });
  const [isBusy, setBusy] = useState(true);
  const [problem, setProblem] = useState(null);
  const asking = useRef(null);

  async function look(visits, after) {
    asking.current?.abort();
    const mine = (asking.current = new AbortController());
    setBusy(true);
    setProblem(null);
    const [since, until] = boundsOf(asked.day);
    const over = Date.now() + MOST_MS;
    try {
      for (let page = 0; page < MOST_PAGES; page++) {
        const { messages, next } = await kept({ ...asked, since, until }, after, mine.signal);
        if (mine.signal.aborted) return;
        visits = joined(visits, messages);
        after = next;
        setFound({ key, visits, next });
        if (!next || wantedOf(visits, asked, person).length >= ENOUGH || Date.now() > over) break;
      }
    } catch (error) {
      if (error.code === "service_away") return; // once it is back all is asked for anew
      if (!mine.signal.aborted) setProblem(error);
    }
    if (!mine.signal.aborted) setBusy(false);
  }

  useEffect(() => {
    look(new Map(), undefined);
    return () => asking.current?.abort();
  }, [key]);
  const isMissing = problem?.code === "kept_visits_missing";
  const mine = found.key === key ? found : { visits: new Map(), next: null };
  return {
    ...mine,
    isBusy,
    isMissing,
    isKnown: found.key === key,
    problem: isMissing ? null : problem,
    more: () => look(mine.visits, mine.next),
    change: (visit) => {
      saidByHand(visit);
      setFound((before) => ({ ...before, visits: new Map(before.visits).set(visit.event_id, { ...visit, isByHand: true }) }));
    },
  };
}

function Filters({ asked, cameras }) {
  function choose(key, value) {
    const chosen = { ...asked, [key]: value };
    const query = String(new URLSearchParams(Object.entries(chosen).filter(([, one]) => one && one !== "all")));
    location.hash = `#/events${query && `?${query}`}`;
  }
  const names = [...new Set([...cameras.map(({ name }) => name), ...(asked.camera ? [asked.camera] : [])])];
  const today = new Date().toLocaleDateString("sv"); // YYYY-MM-DD
  return html`<form class="filters" onSubmit=${(event) => event.preventDefault()}>
    <label>Camera <select value=${asked.camera} onChange=${({ target }) => choose("camera", target.value)}>
      <option value="">All</option>${names.map((name) => html`<option value=${name}>${name}</option>`)}</select></label>
    <label>Who <select value=${asked.who || "all"} onChange=${({ target }) => choose("who", target.value)}>
      ${Object.entries(WHO).map(([value, words]) => html`<option value=${value}>${words}</option>`)}</select></label>
    <label>Day <input type="date" max=${today} value=${asked.day} onChange=${({ target }) => choose("day", target.value)} /></label>
    <button type="button" aria-pressed=${String(asked.day === today)} onClick=${() => choose("day", asked.day === today ? "" : today)}>Today</button>
    ${asked.person && html`<button type="button" onClick=${() => choose("person", "")}>Of this person alone ✕</button>`}
  </form>`;
}

function Visit({ visit, change, hold }) {
  const [open, show] = useState("");
  const setOpen = (what) => (hold(visit, Boolean(what)), show(what));
  const { person, camera, similarity, first_seen_at: from, captured_at: to, isOver } = visit;
  const who = whoWords(visit);
  const close = () => setOpen("");
  const row = useRef();
  const before = useRef("");
  useEffect(() => {
    if (before.current === "fix" && !open) row.current.querySelector(".buttons button")?.focus();
    before.current = open;
  }, [open]);
  const face = html`<${Face} src=${pictureOf(visit, "face")} name=${who} />`;
  return html`<li ref=${row} class="visit" data-id=${visit.event_id} data-known=${String(Boolean(person))} aria-label=${`${who}, ${camera}, ${timeWords(from)}`}>
    ${visit.snapshot ? html`<button type="button" class="picture" aria-label=${`Show the picture of ${who}`} onClick=${() => setOpen("scene")}>${face}</button>` : face}
    <div class="told">
      <p class="name">${person ? html`<a href=${addressOf("people", person.id)}>${who}</a>` : who}</p>
      <p><a href=${addressOf("live", camera)}>${camera}</a> · <time datetime=${new Date(from * 1000).toISOString()}>${timeWords(from)}</time>
        ${isOver ? ` for ${durationWords(to - from)}` : html` · <span class=${NOW}>there now</span>`}</p>
      ${person && similarity !== null && !visit.isByHand && html`<p class="quiet">similarity ${similarity.toFixed(2)}</p>`}
      ${visit.isByHand && html`<p class=${QUIET}>said by hand</p>`}
    </div>
    ${may("operator") && open !== "fix" && html`<div class="buttons">
      ${person ? html`<button type="button" class="wrong" onClick=${() => setOpen("fix")}>Not ${who}?</button>` : html`<button type="button" class="main who-is-this" onClick=${() => setOpen("name")}>Who is this?</button>`}</div>`}
    ${open === "fix" && html`<${Correction} visit=${visit} onDone=${(fixed) => (change(fixed), close())} onClose=${close} />`}
    ${open === "name" && html`<${Naming} visit=${visit} onDone=${(named) => (change(named), close())} onClose=${close} />`}
    ${open === "scene" && html`<${Dialog} title=${`${who}, ${camera}, ${timeWords(from)}`} onClose=${close}>
      <img class="scene" src=${pictureOf(visit, "scene")} alt=${`What ${camera} saw`} /></${Dialog}>`}
  </li>`;
}

function durationWords(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
