// A field for a name, and who has one like it: somebody is picked, or is new. A false name is worse than one key more:
// Enter takes nobody but whose name stands there whole.

import { ask } from "./api.js";
import { Trouble } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { useLost, usePeopleNow } from "./visits.js";

const MOST_FOUND = 6;
const MOST_ASKED = 60; // sorted here: whose name begins so comes first
const TYPED_FOR_MS = 150;
const SLOW_MS = 700;
const NONE = { people: [], isMore: false };

const plain = (name) => name.trim().toLocaleLowerCase();
const sameName = (one, other) => plain(one) === plain(other);

// The whole name, then names that begin so, then names of which a part does, then the others.
function rank(name, typed) {
  const [here, wanted] = [plain(name), plain(typed)];
  if (here === wanted) return 0;
  if (here.startsWith(wanted)) return 1;
  return here.split(/\s+/).some((part) => part.startsWith(wanted)) ? 2 : 3;
}

// Whose names contain what was typed, some of them, or null; a problem is whose it is who asked.
function useFound(typed, without) {
  const [found, setFound] = useState(NONE); // {people, isMore, typed}; null where it takes a while
  const [problem, setProblem] = useState(null);
  const lost = useLost();
  const people = usePeopleNow(found?.people ?? NONE.people);
  useEffect(() => {
    const cancelling = new AbortController();
    const slow = setTimeout(() => setFound(null), SLOW_MS);
    const timer = setTimeout(async () => {
      const query = new URLSearchParams({ limit: String(typed ? MOST_ASKED : MOST_FOUND + 2), ...(typed && { name: typed }) });
      try {
        const { data } = await ask(`/api/v1/people?${query}`, { signal: cancelling.signal });
        const others = data.people.filter(({ id }) => id !== without);
        others.sort((one, other) => rank(one.name, typed) - rank(other.name, typed)); // else in the order in which they came
        setFound({ people: others.slice(0, MOST_FOUND), isMore: others.length > MOST_FOUND || Boolean(data.next), typed });
        setProblem(null);
      } catch (error) {
        if (error.code !== "cancelled") setProblem(error);
      }
      clearTimeout(slow);
    }, typed ? TYPED_FOR_MS : 0);
    return () => (clearTimeout(timer), clearTimeout(slow), cancelling.abort());
  }, [typed, lost]);
  return [found && { ...found, people }, problem];
}

export function PersonPicker({ label, without, likely = [], onPick, onNew, isBusy, isFirst = true }) {
  const [typed, setTyped] = useState("");
  const [entered, setEntered] = useState(null); // what stood there at Enter, until it is known who has such a name
  const wanted = typed.trim();
  const [found, problem] = useFound(wanted, without);
  const [input, choices] = [useRef(), useRef()];
  useEffect(() => void (isFirst && input.current.focus({ preventScroll: true })), []);
  const likelyNow = usePeopleNow(likely);
  const first = wanted ? [] : likelyNow.filter(({ name }) => name);
  const people = [...first, ...(found?.people ?? []).filter(({ id }) => !first.some((one) => one.id === id))];
  const isNew = onNew && wanted && !people.some(({ name }) => sameName(name, wanted));
  const toFirst = () => choices.current.querySelector("button")?.focus();
  useEffect(() => {
    if (entered === null || found?.typed !== entered) return;
    setEntered(null);
    if (entered !== wanted || !entered) return;
    const same = found.people.find(({ name }) => sameName(name, entered));
    if (same) onPick(same);
    else if (onNew && found.people.length === 0) onNew(entered);
    else toFirst();
  }, [entered, found]);
  return html`<form class="picker" onSubmit=${(event) => (event.preventDefault(), setEntered(wanted))}>
    <label>${label}<input ref=${input} name="name" value=${typed} maxlength="100" autocomplete="off" disabled=${isBusy} onInput=${({ target }) => (setEntered(null), setTyped(target.value))}
      onKeyDown=${(event) => event.key === "ArrowDown" && (event.preventDefault(), toFirst())} /></label>
    <${Trouble} problem=${problem} />
    <div class="choices" ref=${choices}>
      ${people.map((person) => html`<button type="button" key=${person.id} disabled=${isBusy} onClick=${() => onPick(person)}>${person.name}</button>`)}
      ${isNew && html`<button type="button" class=${people.length ? "new" : "new main"} disabled=${isBusy} onClick=${() => onNew(wanted)}>Somebody new: ${wanted}</button>`}
    </div>
    <p class="quiet" role="status">${wordsOf(found, problem, wanted, people, onNew)}</p>
  </form>`;
}

function wordsOf(found, problem, wanted, people, onNew) {
  if (!found) return problem ? "" : "Looking for people…";
  if (wanted && found.isMore) return "There are more: type more of the name.";
  if (found.typed === wanted && wanted && !people.length && !onNew) return "Nobody has such a name.";
  if (!wanted && onNew) return "Type a name: one that nobody has yet is saved as somebody new.";
  return !wanted && found.isMore ? "Type a part of the name to find others." : "";
}
