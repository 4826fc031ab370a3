import type { ContainerOwners } from '@gantry/proto/nri-broker';
import type { FieldOwner } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';

/** The part of these owners that is about one container, as its record keeps it. */
export function ownersFor(owners: readonly ContainerOwners[], id: string): readonly FieldOwner[] {
  return owners
    .filter(({ containerId }) => containerId === id)
    .flatMap((container) =>
      container.owners.map(({ field, key, plugin, action }) => ({ field, key, plugin, action })),
    );
}

/** Writes down who has changed what of a container that stands; who came last counts. */
export function noteOwners(
  records: Pick<Records, 'commit' | 'containers'>,
  id: string,
  news: readonly FieldOwner[],
): void {
  if (news.length === 0) {
    return;
  }
  // Maybe without the lock of the pod: the record may have changed, or be gone.
  records.commit(() => {
    const old = records.containers.find(id)?.facts.pluginOwners;
    if (records.containers.find(id) !== undefined) {
      records.containers.update(id, { facts: { pluginOwners: mergeOwners(old ?? [], news) } });
    }
  });
}

function mergeOwners(
  old: readonly FieldOwner[],
  news: readonly FieldOwner[],
): readonly FieldOwner[] {
  const byField = new Map([...old, ...news].map((owner) => [`${owner.field} ${owner.key}`, owner]));
  return [...byField.values()];
}
