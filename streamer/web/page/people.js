// People: everybody who is enrolled, in a list that holds ten thousand; one of them with photos and what may be done.

import { ask, may, service } from "./api.js";
import { Reports } from "./erased.js";
import { useObserved } from "./observable.js";
import { addressOf, Face, Trouble, Waiting } from "./parts.js";
import { Person } from "./person.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { useLost, usePeopleNow } from "./visits.js";

const ROW_PX = 68; // as the style sheet has it
const BEYOND = 8; // rows drawn above and below what is seen
const [FIRST_PAGE, PAGE] = [100, 500];
const TYPED_FOR_MS = 200;

export function People({ id }) {
  return id === undefined ? html`<${List} />` : html`<${Person} key=${id} id=${id} />`;
}

// Everybody whose name contains what was typed, page by page as far as was scrolled.
function usePeople(typed) {
  const { again } = useObserved(service);
  const lost = useLost();
  const [found, setFound] = useState({ people: [], next: null, typed: null });
  const people = usePeopleNow(found.people);
  const [isBusy, setBusy] = useState(true);
  const [problem, setProblem] = useState(null);
  const asking = useRef(null);

  async function look(before, after) {
    asking.current?.abort();
    const mine = (asking.current = new AbortController());
    setBusy(true);
    setProblem(null);
    const query = new URLSearchParams({ limit: String(after ? PAGE : FIRST_PAGE), ...(typed && { name: typed }), ...(after && { after }) });
    try {
      const { data } = await ask(`/api/v1/people?${query}`, { signal: mine.signal });
      setFound({ people: [...before, ...data.people], next: data.next, typed });
    } catch (error) {
      if (error.code === "service_away") return; // once it is back all is asked for anew
      if (!mine.signal.aborted) setProblem(error);
    }
    if (!mine.signal.aborted) setBusy(false);
  }

  useEffect(() => {
    const timer = setTimeout(() => look([], null), typed ? TYPED_FOR_MS : 0);
    return () => (clearTimeout(timer), asking.current?.abort());
  }, [typed, again, lost]);
  return { ...found, people, isBusy, isOld: found.typed !== typed, problem, more: () => found.next && !isBusy && look(found.people, found.next) };
}

function List() {
  const [typed, setTyped] = useState("");
  const { people, next, isBusy, isOld, problem, more } = usePeople(typed.trim());
  const list = useRef();
  const [first, last] = useRows(list, people.length);
  // What was refused is asked for again by hand: by itself it would be at once, again and again.
  useEffect(() => void (last > people.length - 100 && !problem && more()), [last, people.length, isBusy]);
  const count = people.length === 1 ? "1 person" : `${people.length}${next ? " and more" : ""} people`;
  return html`<div class="title"><h1>People</h1>${may("operator") && html`<a class="button main" href="#/enrol">Enrol somebody</a>`}</div>
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>Search by name <input type="search" name="search" autocomplete="off" maxlength="100" value=${typed} onInput=${({ target }) => setTyped(target.value)} /></label>
      <p class="quiet" role="status">${isOld ? (people.length && !problem ? "One moment…" : "") : count}</p>
    </form>
    <${Reports} />
    <${Trouble} problem=${problem} />
    ${problem && next && html`<button type="button" class="more" onClick=${more}>Show more</button>`}
    ${isOld && !problem && !people.length && html`<${Waiting} />`}
    ${!isOld && !problem && !people.length && html`<p class="empty">${typed ? "Nobody has such a name." : "Nobody is enrolled yet. Photos of a face are enough to begin."}</p>`}
    <ul class="people" ref=${list} style=${{ height: `${people.length * ROW_PX}px` }}>
      ${people.slice(first, last).map((person, row) => html`<${Row} key=${person.id} person=${person} top=${(first + row) * ROW_PX} place=${first + row + 1} of=${next ? -1 : people.length} />`)}
    </ul>`;
}

// Which rows are near what is seen.
function useRows(list, count) {
  const [rows, setRows] = useState([0, 30]);
  useEffect(() => {
    let wanted = 0;
    const look = () => {
      wanted = 0;
      if (!list.current) return;
      const top = list.current.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor(-top / ROW_PX) - BEYOND);
      const last = Math.ceil((innerHeight - top) / ROW_PX) + BEYOND;
      setRows((before) => (before[0] === first && before[1] === last ? before : [first, last]));
    };
    const soon = () => (wanted ||= requestAnimationFrame(look));
    look();
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(wanted);
      removeEventListener("scroll", soon);
      removeEventListener("resize", soon);
    };
  }, [count]);
  return rows;
}

function Row({ person, top, place, of }) {
  const src = useFirstPhoto(person);
  const photos = person.photos === 1 ? "1 photo" : `${person.photos} photos`;
  return html`<li style=${{ transform: `translateY(${top}px)` }} aria-posinset=${place} aria-setsize=${of}>
    <a href=${addressOf("people", person.id)}><${Face} src=${src} name="" />
      <span class="name">${person.name}</span><span class="quiet">${person.ignored ? "ignored · " : ""}${photos}${person.tags.length ? ` · ${person.tags.join(", ")}` : ""}</span></a>
  </li>`;
}

const firstPhotos = new Map(); // person's id and number of photos -> address, of those that were looked at

// Asked for when a row has stood for a moment: who scrolls past a thousand people asks for none of them.
function useFirstPhoto({ id, photos }) {
  const key = `${id} ${photos}`;
  const [src, setSrc] = useState(firstPhotos.get(key) ?? null);
  useEffect(() => {
    setSrc(firstPhotos.get(key) ?? null);
    if (!photos || firstPhotos.has(key)) return undefined;
    const cancelling = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const { data } = await ask(`/api/v1/people/${id}/photos?limit=1`, { signal: cancelling.signal });
        const found = data.photos.length ? chipOf(id, data.photos[0].id) : null;
        if (firstPhotos.size > 2000) firstPhotos.clear();
        firstPhotos.set(key, found);
        setSrc(found);
      } catch {
        // Somebody without a face stands for it.
      }
    }, 150);
    return () => (clearTimeout(timer), cancelling.abort());
  }, [key]);
  return src;
}

export const chipOf = (person, photo) => `/api/v1/people/${person}/photos/${photo}/chip`;
