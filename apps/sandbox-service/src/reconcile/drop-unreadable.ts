import { messageOf } from '@gantry/errors';
import type { Logger } from '@gantry/telemetry';
import type { Records } from '../store/records.ts';

/**
 * Removes records that can't be read, as after a disk has lied: every list would
 * fail with them, and a kubelet could do nothing on this node. What they stood for has no
 * record then, and is taken from the host like all that has none; a kubelet makes it
 * anew. To be called before anything else is done with the records.
 */
export function dropUnreadable(records: Records, log: Pick<Logger, 'error'>): void {
  const { sandboxes, containers, names } = records;
  const broken = [
    ...containers.unreadable().map((found) => ({ ...found, what: 'container' as const })),
    ...sandboxes.unreadable().map((found) => ({ ...found, what: 'sandbox' as const })),
  ];
  for (const { id, sandboxId, error, what } of broken) {
    log.error(
      { [what]: id, sandbox: sandboxId, reason: messageOf(error) },
      'its record can not be read: it is dropped, and what there is of it will be removed',
    );
    records.commit(() => {
      const gone = what === 'sandbox' ? [...containers.idsOf(id), id] : [id];
      for (const one of gone) {
        containers.remove(one);
        names.releaseOf(one);
      }
      if (what === 'sandbox') {
        sandboxes.remove(id);
      }
    });
  }
}
