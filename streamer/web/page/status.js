// What changes by itself, asked for again while somebody looks.

import { ask, service } from "./api.js";
import { useObserved } from "./observable.js";
import { useEffect, useState } from "./vendor/preact.js";

const LOOK_AGAIN_MS = 5000;

// [what the path answers or null, problem, look()]
export function useAskedAgain(path) {
  const [found, set] = useState([null, null]);
  const [asked, setAsked] = useState(0);
  const { again } = useObserved(service);
  useEffect(() => {
    let isOver = false;
    let timer;
    async function look() {
      if (!document.hidden && service.value.answers) {
        await ask(path).then(
          ({ data }) => isOver || set([data, null]),
          (problem) => isOver || set(([before]) => [before, problem]),
        );
      }
      if (!isOver) timer = setTimeout(look, LOOK_AGAIN_MS);
    }
    look();
    return () => ((isOver = true), clearTimeout(timer));
  }, [path, again, asked]);
  return [...found, () => setAsked((before) => before + 1)];
}

// How the service fares.
export const useStatus = () => useAskedAgain("/api/v1/service");
