import { containerItem, containerMatches } from '../containers/container-view.ts';
import { byAge } from '../pods/pod-view.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
}

/** As ListContainers, a hundred a message (KEP-5825); no message where nothing matches. */
export function streamContainers({ records }: Deps): RuntimeMethod<'streamContainers'> {
  // A generator, because the bus wants one; the records are read in one go.
  // oxlint-disable-next-line eslint/require-await
  return async function* ({ filter }) {
    const found = records.containers.list().filter((c) => containerMatches(c, filter));
    const items = found.toSorted(byAge).map(containerItem);
    for (let at = 0; at < items.length; at += pageSize) {
      yield { containers: items.slice(at, at + pageSize) };
    }
  };
}

const pageSize = 100;
