import { containerItem, containerMatches } from '../containers/container-view.ts';
import { byAge } from '../pods/pod-view.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
}

/** No match, also of an id that nobody has, is an empty list. */
export function listContainers({ records }: Deps): RuntimeMethod<'listContainers'> {
  return ({ filter }) => {
    const found = records.containers.list().filter((c) => containerMatches(c, filter));
    return Promise.resolve({ containers: found.toSorted(byAge).map(containerItem) });
  };
}
