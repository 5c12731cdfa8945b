// What there is to review, in the order in which it was first shown; what was decided here stays in its place.

import { ask, COMPARED_WITHIN_MS, service } from "./api.js";
import { useObserved } from "./observable.js";
import { useAction } from "./parts.js";
import { atOnce } from "./postponed.js";
import { useEffect, useState } from "./vendor/preact.js";
import { lookAfter, useLost } from "./visits.js";

const PAGE = 20;

// found: {clusters, left, ignored, next, older, keep_unknown_h} as the service has them, asked for at readAt. decided: by a cluster's id what
// was decided on it, null for nothing (any more): {kind, heightPx}.
export function useClusters() {
  const { again } = useObserved(service);
  const lost = useLost();
  const [found, setFound] = useState(null);
  const [decided, setDecided] = useState(new Map());
  const [look, isBusy, problem] = useAction(async (before, after) => {
    const readAt = after ? found.readAt : performance.now();
    await atOnce(); // or it would be among them still
    const query = new URLSearchParams({ limit: String(PAGE), ...(after && { after }) });
    const { data } = await ask(`/api/v1/review?${query}`, { withinMs: COMPARED_WITHIN_MS });
    if (!after) setDecided(new Map());
    setFound({ ...data, readAt, clusters: [...before, ...data.clusters.filter(({ id }) => !before.some((one) => one.id === id))] });
  });
  useEffect(() => void (found || look([], null)), [again]);
  useEffect(() => {
    const named = [...(found?.clusters ?? []).flatMap(({ candidates }) => candidates), ...[...decided.values()].map((what) => what?.person)];
    lookAfter(new Set(named.filter(Boolean).map(({ id }) => id)));
  }, [lost]);
  useEffect(() => () => void atOnce(), []);
  const decide = (id, what) => setDecided((now) => new Map(now).set(id, what && { ...now.get(id), ...what }));
  const left = found?.clusters.filter(({ id }) => !decided.get(id)).length;
  const here = found && found.clusters.length - left;
  return {
    found: found && { ...found, left: found.left - here },
    isEmpty: found && !isBusy && !left && !found.next,
    decided,
    decide,
    isBusy,
    problem,
    refresh: () => look([], null),
    more: () => look(found.clusters, found.next),
    ignoredMore: (more) => setFound((now) => ({ ...now, ignored: now.ignored + more })),
    // One that was ignored, here or some other day.
    reviewedAgain: (cluster) => {
      decide(cluster.id, null);
      setFound((now) => {
        const isHere = now.clusters.some(({ id }) => id === cluster.id);
        return isHere ? now : { ...now, left: now.left + 1, clusters: [...now.clusters, cluster] };
      });
    },
  };
}
