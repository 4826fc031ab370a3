import type { Records } from '../store/records.ts';

/**
 * Takes the processes out of all records when the host was started anew since
 * they were written: pid and start time, which counts from the boot, may by now
 * be those of a stranger, who must be neither trusted nor killed. To be called
 * before anything else is done with the records.
 */
export function forgetEarlierBoot(records: Records, bootId: string): void {
  const { settings, containers, sandboxes } = records;
  if (settings.get('boot_id') === bootId) {
    return;
  }
  records.commit(() => {
    const earlier = settings.get('boot_id');
    // Undefined is a new file, or one of a version that did not note the boot.
    if (earlier !== undefined && earlier !== bootId) {
      for (const { id } of containers.list()) {
        containers.update(id, { facts: { init: undefined, monitor: undefined } });
      }
      for (const { id, phase, facts } of sandboxes.list()) {
        // One without a process, and on the host's namespaces, has nothing else to tell it by.
        const isLost = phase === 'ready' && facts.infra === 'none';
        sandboxes.update(id, {
          ...(isLost ? { phase: 'notready' } : {}),
          facts: { pause: undefined },
        });
      }
    }
    settings.set('boot_id', bootId);
  });
}
