// Events: who was seen, when and where; those of now as they happen, earlier ones as they were kept.

import { ask, service } from "./api.js";
import { Filters, Tally, today } from "./filters.js";
import { useCameras } from "./live.js";
import { News } from "./news.js";
import { useObserved } from "./observable.js";
import { say, Trouble, Waiting } from "./parts.js";
import { useHand, useStill } from "./still.js";
import { html, useEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { dayWords, Visit } from "./visit.js";
import { asSaid, isErased, isSame, joined, kept, live, newestFirst, now, saidByHand } from "./visits.js";

const ENOUGH = 20; // of a page of what was asked for
const [MOST_PAGES, MOST_MS] = [5, 4000]; // looked through at once for so many
const KEPT_WITHIN_MS = 5000; // a visit is written down beside being told

export function Events({ query }) {
  const key = query.toString();
  const asked = Object.fromEntries(["camera", "person", "day", "who"].map((name) => [name, query.get(name) ?? ""]));
  const [cameras] = useCameras();
  const { visits: heardOf, isOn, missed, said, gone, renamed } = useObserved(live);
  const person = usePerson(asked.person);
  const past = usePast(asked, missed, person);
  const news = [heardOf, said, gone, renamed];
  const visits = useMemo(() => wantedOf(now(new Map([...past.visits, ...newer(heardOf, past)])), asked, person), [...news, past.visits, person, key]);
  const heard = useMemo(() => wantedOf(now(heardOf), asked, person), [...news, person, key]);
  const [held, hold] = useHeld(said, gone, missed);
  const list = useRef();
  const [isAt, hand] = useHand(list);
  const { shown, waiting, show } = useStill(visits, held.size > 0 || (isAt && past.isKnown), key);
  const isNow = !asked.day || asked.day === today();
  return html`<div class="title"><h1>${person ? (person.name ? `${person.name}’s visits` : "Visits") : "Events"}</h1>
      ${isNow && html`<p class="state" role="status" data-state=${isOn ? "online" : "connecting"}>${isOn ? "as they happen" : "not up to date"}</p>`}</div>
    <${Filters} asked=${asked} cameras=${cameras ?? []} person=${person} />
    <${Trouble} problem=${past.problem} />
    ${past.isMissing && html`<p class="hint">No camera keeps its visits: what was before you came is not to be had, and nobody can be enrolled from an event.
      <code>whosthere cameras set door snapshots=true</code> turns it on.</p>`}
    <${News} visits=${heard} />
    ${shown.length > 0 && !person && html`<${Tally} asked=${asked} visits=${shown} isAll=${!past.next} />`}
    <${Newer} count=${waiting} show=${show} />
    <div class="list" ref=${list} ...${hand}>${daysOf(withHeld(shown, held)).map(([day, ofDay]) => html`<section key=${day}>
      <h2>${dayWords(new Date(day))}</h2>
      <ol class="visits">${ofDay.map((visit) => html`<${Visit} key=${visit.event_id} visit=${visit} change=${past.change} hold=${hold} />`)}</ol></section>`)}</div>
    ${(past.isBusy || !(past.isKnown || past.problem || past.isMissing)) && html`<${Waiting} />`}
    ${!past.isBusy && (past.isKnown || past.isMissing) && visits.length === 0 && html`<p class="empty">${past.next ? "None among the newest." : nobodyWords(asked)}</p>`}
    ${!past.isBusy && past.next && html`<button type="button" class="more" onClick=${past.more}>Show older</button>`}`;
}

// The line is above the list without taking room: it comes and goes, and the list stays where it is.
function Newer({ count, show }) {
  const words = count === 1 ? "1 new visit" : `${count} new visits`;
  const shown = () => {
    scrollTo(0, 0);
    show();
  };
  return html`<div class="newer">${count > 0 && html`<button type="button" class="main" onClick=${shown}>${words}</button>`}
    <p class="unseen" role="status">${count > 0 ? "New visits wait above the list." : ""}</p></div>`;
}

function nobodyWords({ day, camera, who, person }) {
  if (day > today()) return "This day is still to come.";
  if (camera || who || person) return "Nobody was seen with these filters.";
  if (day === today()) return "Nobody was seen today.";
  return day ? "Nobody was seen on this day, or it is not kept any more." : "Nobody was seen.";
}

// [[the day's first moment, its visits]], as they come.
function daysOf(visits) {
  const days = new Map();
  for (const visit of visits) {
    const day = new Date(visit.first_seen_at * 1000).setHours(0, 0, 0, 0);
    if (!days.has(day)) days.set(day, []);
    days.get(day).push(visit);
  }
  return [...days];
}

// What is heard is newer than what was kept; but whose it is may have been said since, here or by somebody else. And what
// is kept no longer is gone.
function newer(heardOf, { visits: past, readAt, oldest }) {
  const isGone = (visit) => visit.snapshot && !past.has(visit.event_id) && visit.heardAt < readAt - KEPT_WITHIN_MS && visit.first_seen_at > oldest;
  const fresh = [...heardOf].filter(([id, visit]) => visit.seq > (past.get(id)?.seq ?? 0) && !isGone(visit));
  return fresh.map(([id, visit]) => [id, asSaid(past.get(id), visit)]);
}

// Visits of which something is open: as they were then, whatever is said of them elsewhere meanwhile, unless they are
// erased. What is decided on them is held to what they are by then.
function useHeld(said, gone, missed) {
  const [held, setHeld] = useState(new Map());
  function close(lost) {
    setHeld((before) => new Map([...before].filter(([id]) => id !== lost)));
    say("What was open here is not kept any more.");
  }
  useEffect(() => [...held].forEach(([id, visit]) => isErased(visit, { said, gone }) && close(id)), [held, said, gone]);
  // Of an erasure that was missed nothing is told later.
  useEffect(() => {
    for (const [id, { person, snapshot, heardAt, readAt }] of held) {
      if (!snapshot) person && !live.value.visits.has(id) && close(id);
      else if (readAt || performance.now() - heardAt > KEPT_WITHIN_MS) ask(`/api/v1/events/${id}`).catch(({ code }) => code === "visit_not_found" && close(id));
    }
  }, [missed]);
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
  const { missed, renamed } = useObserved(live);
  useEffect(() => {
    const cancelling = new AbortController();
    const failed = ({ code }) => code === "person_not_found" && setPerson(null); // the visits' own answer says why
    if (id) ask(`/api/v1/people/${encodeURIComponent(id)}`, { signal: cancelling.signal }).then(({ data }) => setPerson(data), failed);
    return () => cancelling.abort();
  }, [id, missed, renamed]);
  return useMemo(() => (id ? { id, name: person?.name } : null), [id, person?.name]);
}

// Messages of a page: a few at first, for a phone on a slow link, and where little more is to come than was there.
const limitOf = (page, after, reach) => (after && (!Number.isFinite(reach) || page > 2) ? 200 : 60);

const NONE = { key: null, visits: new Map(), next: null, readAt: -Infinity, oldest: Infinity };

// No further back than it was: a page that is open for a day would have all of them.
function asFar(found, { oldest, next }) {
  if (!next || !Number.isFinite(oldest) || !found.next) return found;
  const visits = new Map([...found.visits].filter(([, visit]) => visit.first_seen_at >= oldest));
  return { ...found, visits, next, oldest };
}

// The kept visits that were asked for, page by page: {visits, next, readAt, oldest, isBusy, isMissing, problem, more(),
// change()}. Where the same is asked for anew, what was there stays until it has come as far back.
function usePast(asked, missed, person) {
  const { again } = useObserved(service);
  const key = JSON.stringify(asked);
  const [found, setFound] = useState(NONE);
  const [isBusy, setBusy] = useState(true);
  const [problem, setProblem] = useState(null);
  const asking = useRef(null);
  const mine = found.key === key ? found : NONE;

  async function look(visits, after, { was = NONE, began = performance.now() } = {}) {
    asking.current?.abort();
    const cancelling = (asking.current = new AbortController());
    setBusy(was === NONE);
    setProblem(null);
    const [since, until] = boundsOf(asked.day);
    const over = Date.now() + MOST_MS;
    try {
      for (let page = 0; ; page++) {
        const { messages, next } = await kept({ ...asked, since, until }, after, cancelling.signal, limitOf(page, after, was.oldest));
        if (cancelling.signal.aborted) return;
        visits = joined(visits, messages);
        after = next;
        const oldest = next ? Math.min(...[...visits.values()].map((visit) => visit.first_seen_at)) : -Infinity;
        const isThere = oldest <= was.oldest;
        if (isThere) setFound(asFar({ key, visits, next, readAt: began, oldest }, was));
        if (isThere && (!next || page + 1 >= MOST_PAGES || was !== NONE || wantedOf(visits, asked, person).length >= ENOUGH || Date.now() > over)) break;
      }
    } catch (error) {
      if (error.code === "service_away") return; // once it is back all is asked for anew
      if (!cancelling.signal.aborted) setProblem(error);
    }
    if (!cancelling.signal.aborted) setBusy(false);
  }

  useEffect(() => {
    look(new Map(), undefined, { was: mine });
    return () => asking.current?.abort();
  }, [key, again, missed]);
  const isMissing = problem?.code === "kept_visits_missing";
  return {
    ...mine,
    isBusy,
    isMissing,
    isKnown: found.key === key,
    problem: isMissing ? null : problem,
    more: () => look(mine.visits, mine.next, { began: mine.readAt }),
    change: (visit) => {
      saidByHand(visit);
      setFound((before) => ({ ...before, visits: new Map(before.visits).set(visit.event_id, { ...visit, isByHand: true }) }));
    },
  };
}
