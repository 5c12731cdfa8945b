// Visits as they are told, one for all messages of an event_id: those of now by an event stream, earlier ones as they are kept.

import { ask, lookForIt, refresh, service } from "./api.js";
import { observable, useObserved } from "./observable.js";
import { hush, say } from "./parts.js";
import { useMemo } from "./vendor/preact.js";

const MOST_LIVE = 500; // what lies further back is asked for among the kept ones
const MOST_SAID = 5000;
const LONGEST_WAIT_MS = 10000;
const ERASED_WITHIN_MS = 3000;

// visits: event_id -> visit; isOn: whether new ones come. said: event_id -> what was said of a visit since the page was
// opened, here or elsewhere, and at what moment. gone: ids of people who were; renamed: id -> who that is now.
// missed: rises whenever what is shown has to be asked for anew; lost: whenever something may have been told that was
// not heard.
const NOTHING = { visits: new Map(), missed: 0, lost: 0, said: new Map(), gone: new Set(), renamed: new Map() };
export const live = observable({ ...NOTHING, isOn: false });

// The newest message of a visit tells it all; isOver: who it was is gone.
export function joined(visits, messages) {
  const changed = new Map(visits);
  for (const message of messages) {
    const before = changed.get(message.event_id);
    if (before && before.seq > message.seq) continue;
    const visit = { ...message, heardAt: performance.now(), isOver: message.type === "end", snapshot: message.snapshot ?? before?.snapshot ?? null };
    changed.set(message.event_id, asSaid(before, visit));
  }
  return changed;
}

// Visits as they are now, by what was said since they were told or asked for.
export function now(visits, { said, gone, renamed } = live.value) {
  if (!said.size && !gone.size && !renamed.size) return visits;
  const changed = new Map();
  for (const [id, visit] of visits) {
    const news = newsOf(visit, said);
    if (!isErased(visit, { said, gone })) changed.set(id, named(news ? { ...visit, ...news } : visit, renamed));
  }
  return changed;
}

function newsOf(visit, said) {
  const last = said.get(visit.event_id);
  return last && last.at > (visit.readAt ?? 0) ? last : null; // else it was asked for since
}

// Whether it is to be shown to nobody any more.
export function isErased(visit, { said, gone }) {
  const news = newsOf(visit, said);
  const people = [visit.person, news?.person, ...(visit.candidates ?? [])]; // whoever is erased takes it along
  return Boolean(news?.isErased) || people.some((one) => gone.has(one?.id));
}

function named(visit, renamed) {
  const people = [visit.person, ...(visit.candidates ?? [])];
  if (!people.some((one) => renamed.has(one?.id))) return visit;
  const asNow = (one) => personNow(one, renamed);
  return { ...visit, person: visit.person && asNow(visit.person), candidates: visit.candidates?.map(asNow) };
}

function personNow(person, renamed) {
  const next = (one) => ({ ...one, ...renamed.get(one.id) });
  return next(next(person)); // merged, and then renamed
}

// People, whatever else is known of them, as they are called now, and nobody who was erased.
export function usePeopleNow(people) {
  const gone = useObserved(live, ({ gone }) => gone);
  const renamed = useObserved(live, ({ renamed }) => renamed);
  return useMemo(() => {
    if (!gone.size && !renamed.size) return people;
    const ids = new Set(people.map(({ id }) => id)); // whoever is merged into one of these is not shown twice
    const isLeft = (one, { id }) => !gone.has(id) && (id === one.id || !ids.has(id));
    return people.map((one) => [one, personNow(one, renamed)]).flatMap(([one, now]) => (isLeft(one, now) ? [now] : []));
  }, [people, gone, renamed]);
}

// What became of these, while nothing was heard.
export async function lookAfter(ids) {
  for (const id of ids) {
    try {
      const { data } = await ask(`/api/v1/people/${id}`);
      renamed([[id, { id: data.id, name: data.name }]]);
    } catch (problem) {
      if (problem.code === undefined) throw problem; // a fault of this page, for the console
      if (problem.code === "person_not_found") live.set({ gone: new Set([...live.value.gone, id]) });
    }
  }
}

export const useLost = () => useObserved(live, ({ lost }) => lost);

function tellOf(eventIds, news) {
  const said = new Map(live.value.said);
  for (const id of eventIds) {
    said.delete(id);
    said.set(id, { ...news, at: performance.now() });
  }
  for (const id of [...said.keys()].slice(0, Math.max(0, said.size - MOST_SAID))) said.delete(id);
  live.set({ said });
}

const byHand = (person) => ({ person, decision: person ? "known" : "unknown", similarity: null, candidates: [], isByHand: true });

// What was said by hand counts more than what is told while they are still seen.
export function asSaid(before, visit) {
  const { person, decision, similarity, candidates, isByHand, readAt } = before ?? {};
  return isByHand ? { ...visit, person, decision, similarity, candidates, isByHand, readAt } : visit;
}

export const newestFirst = (visits) =>
  [...visits.values()].sort((one, other) => other.first_seen_at - one.first_seen_at || (other.event_id > one.event_id ? 1 : -1));

let source = null;
let retry;
let waitMs = 1000;
let last = "";
let isFirst = true; // of the streams of this session

// As long as there is a session; over when there is none any more.
export function followSession() {
  let owner = null;
  let whose = null;
  const look = ({ session, answers }) => {
    const before = owner;
    owner = session?.name ?? null;
    if (before !== null && owner !== before) forget();
    const now = answers ? owner : null;
    if (now === whose) return;
    whose = now;
    hangUp();
    if (now !== null) begin();
  };
  look(service.value);
  return service.follow(look);
}

function begin() {
  clearTimeout(retry);
  const query = last ? `&after=${encodeURIComponent(last)}` : "";
  const mine = (source = new EventSource(`/api/v1/events/live?changes=true${query}`));
  mine.onopen = () => {
    waitMs = 1000;
    if (!isFirst) unheard(); // who was forgotten or renamed meanwhile is not told to who comes back
    isFirst = false;
    live.set({ isOn: true });
  };
  mine.onmessage = ({ data, lastEventId }) => {
    last = lastEventId || last;
    heard([JSON.parse(data)]);
  };
  mine.addEventListener("gap", unheard);
  const follow = (kind, heard) => mine.addEventListener(kind, ({ data, lastEventId }) => ((last = lastEventId || last), heard(JSON.parse(data))));
  follow("said", ({ event_ids, person }) => tellOf(event_ids, byHand(person)));
  follow("erased", ({ event_ids }) => tellOf(event_ids, { isErased: true }));
  follow("forgotten", ({ people }) => forgotten(people));
  follow("renamed", ({ people }) => renamed(people.map(({ id, person }) => [id, person])));
  mine.addEventListener("end", ({ data }) => {
    const { code } = JSON.parse(data);
    hangUp();
    if (code === "token_invalid") refresh();
    else if (code === "service_stopping") lookForIt();
    again();
  });
  mine.onerror = () => {
    if (mine !== source) return;
    live.set({ isOn: false });
    if (mine.readyState !== EventSource.CLOSED) return lookForIt(); // it comes back by itself
    hangUp(); // refused: it does not
    refresh();
    again();
  };
}

function again() {
  retry = setTimeout(() => service.value.session && service.value.answers && begin(), waitMs);
  waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
}

function hangUp() {
  clearTimeout(retry);
  source?.close();
  source = null;
  live.set({ isOn: false });
}

// Whoever comes next sees nothing of what was shown to the one before.
function forget() {
  say("");
  last = "";
  isFirst = true;
  live.set(NOTHING);
}

// The kept visits are asked for once more. Of those that are not kept stay those that tell of nobody, and, where who was
// forgotten is known, of others.
function anew(isOf = ({ person, candidates }) => !person && !candidates?.length, more = {}) {
  const { visits, missed } = live.value;
  const left = [...visits].filter(([, visit]) => !visit.snapshot && isOf(visit));
  live.set({ visits: new Map(left), missed: missed + 1, said: new Map(), ...more });
}

const unheard = () => anew(undefined, { lost: live.value.lost + 1, renamed: new Map() });

// Somebody was erased: what named them, or looks like them, was too.
function forgotten(people) {
  const named = [...live.value.visits.values(), ...live.value.said.values()].map(({ person }) => person);
  hush(named.filter((one) => one?.name && people.includes(one.id)).map(({ name }) => name));
  live.set({ gone: new Set([...live.value.gone, ...people]) });
  const others = () => anew(() => true); // gone are left out of them
  others();
  setTimeout(others, ERASED_WITHIN_MS); // the kept ones are erased a moment later
}

const renamed = (people) => live.set({ renamed: new Map([...live.value.renamed, ...people]) });

function heard(messages) {
  const visits = joined(live.value.visits, messages);
  for (const id of [...visits.keys()].slice(0, Math.max(0, visits.size - MOST_LIVE))) visits.delete(id);
  live.set({ visits });
}

// Somebody has said who it was; of a visit that was not heard of yet, too: what is told of it next knows nothing of that.
export function saidByHand(visit) {
  tellOf([visit.event_id], byHand(visit.person));
  live.set({ visits: new Map(live.value.visits).set(visit.event_id, { ...visit, isByHand: true }) });
}

// A visit of before somebody was merged into another one keeps the former id, with the name of now; no two have one name.
export const isSame = (one, other) => (one ?? null) === (other ?? null) || one?.id === other?.id || Boolean(one?.name && one.name === other?.name);

// By this page: somebody has another name, is somebody else (merged), or, null, was erased.
export function personBecame(id, person) {
  if (person) renamed([[id, person]]);
  else forgotten([id]);
}

// A page of kept messages. Raises Problem. {messages, next}
export async function kept({ camera, person, since, until }, after, signal, limit) {
  const query = new URLSearchParams({ limit: String(limit) });
  if (camera) query.append("camera", camera);
  if (person) query.append("person", person);
  if (since) query.append("since", String(since));
  if (until) query.append("until", String(until));
  if (after) query.append("after", after);
  const readAt = performance.now();
  const { data } = await ask(`/api/v1/events?${query}`, { signal });
  // A name that was measured by nothing was said, by whomever.
  const messages = data.events.map((message) => ({ ...message, readAt, ...(message.person && message.similarity === null && { isByHand: true }) }));
  return { messages, next: data.next };
}

export const pictureOf = (visit, kind) =>
  visit.snapshot ? `/api/v1/events/${visit.event_id}/snapshots/${kind}?seen=${visit.seq}` : null; // another one later

// Who it was, in words.
export function whoWords({ person, decision, candidates }) {
  if (person) return person.name ?? "Somebody who was forgotten";
  const names = (candidates ?? []).map(({ name }) => name).filter(Boolean);
  return decision === "ambiguous" && names.length ? `${names.join(" or ")}?` : "Somebody unknown";
}
