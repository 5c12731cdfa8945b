// Who comes, in words for whoever does not see the list: said by screen readers, a few of them at once.

import { useObserved } from "./observable.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { live, whoWords } from "./visits.js";

const GATHERED_FOR_MS = 2000; // a crowd is one sentence
const MOST = 3;
const MOST_KNOWN = 2000; // or whoever is told once more, after a while away, is said once more

// visits: those of now that are shown, the newest first. Said is who comes, and who gets a name, from now on.
export function News({ visits }) {
  const [words, setWords] = useState("");
  const said = useRef(null); // event_id -> who
  const waiting = useRef(new Map());
  const timer = useRef();
  const { gone } = useObserved(live);
  useEffect(() => {
    said.current = null; // somebody was erased: nothing names them
    waiting.current.clear();
    setWords("");
  }, [gone]);
  useEffect(() => {
    const before = said.current;
    said.current = new Map([...(before ?? []), ...visits.map((visit) => [visit.event_id, whoWords(visit)])].slice(-MOST_KNOWN));
    if (!before) return;
    for (const { event_id: id, camera, isOver, isByHand } of visits) {
      const who = said.current.get(id);
      if (before.get(id) !== who && !isOver && !isByHand) waiting.current.set(id, `${who}, ${camera}`);
    }
    if (!waiting.current.size || timer.current) return;
    timer.current = setTimeout(() => {
      const all = [...waiting.current.values()];
      waiting.current.clear();
      timer.current = undefined;
      setWords(`${all.slice(0, MOST).join("; ")}${all.length > MOST ? `; and ${all.length - MOST} more` : ""}`);
    }, GATHERED_FOR_MS);
  }, [visits]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return html`<p class="unseen news" role="status">${words}</p>`;
}
