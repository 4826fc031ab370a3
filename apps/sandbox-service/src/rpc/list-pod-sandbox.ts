import { byAge, podItem, podMatches } from '../pods/pod-view.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
}

/** No match, also of an id that nobody has, is an empty list. */
export function listPodSandbox({ records }: Deps): RuntimeMethod<'listPodSandbox'> {
  return ({ filter }) => {
    const found = records.sandboxes.list().filter((sandbox) => podMatches(sandbox, filter));
    return Promise.resolve({ items: found.toSorted(byAge).map(podItem) });
  };
}
