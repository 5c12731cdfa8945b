// A value that screens follow: whoever uses it is drawn anew when it changes.

import { useEffect, useState } from "./vendor/preact.js";

export function observable(value) {
  const followers = new Set();
  return {
    get value() {
      return value;
    },
    set(change) {
      value = { ...value, ...change };
      for (const follower of [...followers]) follower(value);
    },
    follow(follower) {
      followers.add(follower);
      return () => followers.delete(follower);
    },
  };
}

// of(value): the part that is used, the same one at each drawing; drawn anew is when that is another one.
export function useObserved(observed, of = (value) => value) {
  const [value, set] = useState(of(observed.value));
  useEffect(() => {
    const look = (now) => set(of(now));
    look(observed.value); // it may have changed since it was drawn
    return observed.follow(look);
  }, [observed]);
  return value;
}
