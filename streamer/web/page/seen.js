// When somebody was seen: the newest of their kept visits, in a row.

import { service } from "./api.js";
import { useObserved } from "./observable.js";
import { Face, timeWords } from "./parts.js";
import { html, useEffect, useState } from "./vendor/preact.js";
import { joined, kept, live, newestFirst, now, pictureOf } from "./visits.js";

const MOST = 8;
const MOST_READ = 60; // messages, of which a visit has two or three

// {visits, isMore}, the newest first; null while it is not known, and where no visit is kept at all.
export function useSeen(person) {
  const { again } = useObserved(service);
  const told = useObserved(live);
  const [found, setFound] = useState(null);
  useEffect(() => {
    if (!person) return undefined;
    const cancelling = new AbortController();
    kept({ person }, undefined, cancelling.signal, MOST_READ).then(
      ({ messages, next }) => setFound({ visits: joined(new Map(), messages), isMore: Boolean(next) }),
      () => setFound(null), // the page does without; what it can't do without says what is wrong
    );
    return () => cancelling.abort();
  }, [person, again]);
  return found && { ...found, visits: newestFirst(now(found.visits, told)).filter((visit) => visit.person) };
}

export function seenWords(seen) {
  const [newest] = seen?.visits ?? [];
  return newest ? `last seen ${timeWords(newest.captured_at)}, ${newest.camera} · ` : "";
}

export function Seen({ id, seen }) {
  if (!seen?.visits.length) return null;
  return html`<ul class="seen" aria-label="Last visits">${seen.visits.slice(0, MOST).map((visit) => html`<li key=${visit.event_id}><a href=${`#/events?person=${id}`}>
      <${Face} src=${pictureOf(visit, "face")} name="" /><span>${visit.camera}</span><span class="quiet">${timeWords(visit.first_seen_at)}</span></a></li>`)}</ul>`;
}
