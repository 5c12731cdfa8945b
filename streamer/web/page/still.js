// A list that does not move under the hand: while something is open in it, the pointer or the focus is at it, or it is
// scrolled, what is new waits; what is there goes on being told anew.

import { useEffect, useRef, useState } from "./vendor/preact.js";

const IDLE_MS = 30000; // a pointer that lay so long has no hand on it
const SCROLLED_PX = 8;

// [whether somebody is at it, attributes for what is around the list]
export function useHand(list) {
  const [isOver, setOver] = useState(false);
  const [hasFocus, setFocus] = useState(false);
  const [isScrolled, setScrolled] = useState(scrollY > SCROLLED_PX);
  const idle = useRef();
  useEffect(() => {
    const look = () => setScrolled(scrollY > SCROLLED_PX);
    look();
    addEventListener("scroll", look, { passive: true });
    return () => (removeEventListener("scroll", look), clearTimeout(idle.current));
  }, []);
  function moved({ pointerType }) {
    if (pointerType === "touch") return; // it rests nowhere
    setOver(true);
    clearTimeout(idle.current);
    idle.current = setTimeout(() => setOver(false), IDLE_MS);
  }
  function left() {
    clearTimeout(idle.current);
    setOver(false);
  }
  // By keys: where a click has left the focus, nobody has to be any more.
  const looked = () => setTimeout(() => setFocus(Boolean(list.current?.querySelector(":focus-visible"))));
  return [isOver || hasFocus || isScrolled, { onPointerEnter: moved, onPointerMove: moved, onPointerLeave: left, onfocusin: looked, onfocusout: looked }];
}

// {shown, waiting, show()}: visits, the newest first; those that came since somebody is at them wait. key: another one
// is another list.
export function useStill(visits, isHeld, key) {
  const known = useRef({ key: null, ids: new Set(), oldest: Infinity });
  const [, redraw] = useState(0);
  const before = known.current;
  const isNews = ({ event_id: id, first_seen_at: at }) => before.key === key && isHeld && !before.ids.has(id) && at > before.oldest;
  const shown = visits.filter((visit) => !isNews(visit));
  const ids = new Set(before.key === key ? before.ids : []); // what goes may come back: it was asked for anew
  for (const { event_id: id } of shown) ids.add(id);
  known.current = { key, ids, oldest: shown.at(-1)?.first_seen_at ?? Infinity };
  const show = () => {
    known.current = { key: null, ids: new Set(), oldest: Infinity };
    redraw((times) => times + 1);
  };
  return { shown, waiting: visits.length - shown.length, show };
}
