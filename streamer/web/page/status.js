// How the service fares, asked for again while somebody looks.

import { ask, service } from "./api.js";
import { useObserved } from "./observable.js";
import { useEffect, useState } from "./vendor/preact.js";

const LOOK_AGAIN_MS = 5000;

// [GET /api/v1/service or null, problem]
export function useStatus() {
  const [found, set] = useState([null, null]);
  const { again } = useObserved(service);
  useEffect(() => {
    let isOver = false;
    let timer;
    async function look() {
      if (!document.hidden && service.value.answers) {
        await ask("/api/v1/service").then(
          ({ data }) => isOver || set([data, null]),
          (problem) => isOver || set(([before]) => [before, problem]),
        );
      }
      if (!isOver) timer = setTimeout(look, LOOK_AGAIN_MS);
    }
    look();
    return () => ((isOver = true), clearTimeout(timer));
  }, [again]);
  return found;
}
