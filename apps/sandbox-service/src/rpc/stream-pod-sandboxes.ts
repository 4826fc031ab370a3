import { byAge, podItem, podMatches } from '../pods/pod-view.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
}

/** As ListPodSandbox, a hundred pods a message (KEP-5825); no message where nothing matches. */
export function streamPodSandboxes({ records }: Deps): RuntimeMethod<'streamPodSandboxes'> {
  // A generator, because the bus wants one; the records are read in one go.
  // oxlint-disable-next-line eslint/require-await
  return async function* ({ filter }) {
    const found = records.sandboxes.list().filter((sandbox) => podMatches(sandbox, filter));
    const items = found.toSorted(byAge).map(podItem);
    for (let at = 0; at < items.length; at += pageSize) {
      yield { podSandboxes: items.slice(at, at + pageSize) };
    }
  };
}

const pageSize = 100;
