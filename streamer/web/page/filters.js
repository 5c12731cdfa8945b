// Which visits are asked for: by camera, person and day; and who is in those that are shown.

import { ask, service } from "./api.js";
import { useObserved } from "./observable.js";
import { Dialog } from "./parts.js";
import { PersonPicker } from "./picker.js";
import { html, useEffect, useState } from "./vendor/preact.js";
import { live } from "./visits.js";

const WHO = { all: "Everybody", known: "Known people", unknown: "Unknown people" };
const MOST_IN_LIST = 20; // people; more of them are looked for by name
const MOST_TOLD = 8;

// A number of days from now, as the address has it: YYYY-MM-DD.
export const today = () => new Date().toLocaleDateString("sv");

export function go(asked, change) {
  const chosen = Object.entries({ ...asked, ...change }).filter(([, one]) => one && one !== "all");
  const query = String(new URLSearchParams(chosen));
  location.hash = `#/events${query && `?${query}`}`;
}

// All of them, where they are few: {people, isMore}
function usePeople() {
  const { again } = useObserved(service);
  const { missed, renamed } = useObserved(live);
  const [found, setFound] = useState({ people: [], isMore: false });
  useEffect(() => {
    const cancelling = new AbortController();
    const got = ({ data }) => setFound(data.next ? { people: [], isMore: true } : { people: data.people, isMore: false });
    ask(`/api/v1/people?limit=${MOST_IN_LIST}`, { signal: cancelling.signal }).then(got, () => {}); // the visits' own answer says why
    return () => cancelling.abort();
  }, [again, missed, renamed]);
  return found;
}

// person: {id, name} of whom they are asked for, or null.
export function Filters({ asked, cameras, person }) {
  const { people, isMore } = usePeople();
  const [isPicking, pick] = useState(false);
  const names = [...new Set([...cameras.map(({ name }) => name), ...(asked.camera ? [asked.camera] : [])])];
  const listed = person && !people.some(({ id }) => id === person.id) ? [person, ...people] : people;
  const who = person ? `person ${person.id}` : asked.who || "all";
  const isAny = asked.camera || asked.person || asked.day || asked.who;
  function whom({ target }) {
    const [kind, id] = target.value.split(" ");
    if (kind !== "pick") return go(asked, id ? { person: id, who: "" } : { person: "", who: kind });
    target.value = who;
    pick(true);
  }
  return html`<form class="filters" onSubmit=${(event) => event.preventDefault()}>
    <label>Camera <select value=${asked.camera} onChange=${({ target }) => go(asked, { camera: target.value })}>
      <option value="">All</option>${names.map((name) => html`<option value=${name}>${name}</option>`)}</select></label>
    <label>Who <select name="who" value=${who} onChange=${whom}>
      ${Object.entries(WHO).map(([value, words]) => html`<option value=${value}>${words}</option>`)}
      ${listed.map(({ id, name }) => html`<option value=${`person ${id}`}>${name ?? "This person"}</option>`)}
      ${isMore && html`<option value="pick">Find a person…</option>`}</select></label>
    <label>Day <input type="date" max=${today()} value=${asked.day} onChange=${({ target }) => go(asked, { day: target.value })} /></label>
    <button type="button" aria-pressed=${String(asked.day === today())} onClick=${() => go(asked, { day: asked.day === today() ? "" : today() })}>Today</button>
    ${isAny && html`<button type="button" class="clear" onClick=${() => go({})}>Clear</button>`}
    ${isPicking && html`<${Dialog} title="Whose visits?" onClose=${() => pick(false)}>
      <${PersonPicker} label="Name" onPick=${({ id }) => (pick(false), go(asked, { person: id, who: "" }))} /></${Dialog}>`}
  </form>`;
}

// Who is in the visits that are shown, the most often seen first; each a filter. isAll: none is left to be shown.
export function Tally({ asked, visits, isAll }) {
  const found = new Map();
  for (const { person } of visits) {
    const key = person?.id ?? "";
    found.set(key, { person, count: (found.get(key)?.count ?? 0) + 1 });
  }
  const unknown = found.get("")?.count ?? 0;
  found.delete("");
  const people = [...found.values()].sort((one, other) => other.count - one.count);
  const more = people.length - MOST_TOLD;
  const lead = visits.length === 1 ? "1 visit" : `${visits.length.toLocaleString()} visits`;
  return html`<p class="tally"><span>${isAll ? lead : `The newest ${lead}`}:</span>
    ${people.slice(0, MOST_TOLD).map(({ person, count }) => html`<button type="button" key=${person.id} onClick=${() => go(asked, { person: person.id, who: "" })}>${person.name ?? "Somebody who was forgotten"} <b>${count}</b></button>`)}
    ${more > 0 && html`<span>${more === 1 ? "1 other person" : `${more} other people`}</span>`}
    ${unknown > 0 && html`<button type="button" onClick=${() => go(asked, { person: "", who: "unknown" })}>unknown <b>${unknown}</b></button>`}
  </p>`;
}
