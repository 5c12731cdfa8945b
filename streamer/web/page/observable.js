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

export function useObserved(observed) {
  const [value, set] = useState(observed.value);
  useEffect(() => {
    set(observed.value); // it may have changed since it was drawn
    return observed.follow(set);
  }, [observed]);
  return value;
}
