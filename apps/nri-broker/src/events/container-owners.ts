import type { Message, MessageInitShape } from '@bufbuild/protobuf';
import { fieldName, MergedUpdates, Owners, removedKey } from '@gantry/nri';
import type { ContainerUpdate } from '@gantry/proto/nri';
import type { ContainerOwnersSchema } from '@gantry/proto/nri-broker';

/** Which plugins have set or removed what of one container: a literal, not a message that was made. */
export type ContainerOwners = Exclude<MessageInitShape<typeof ContainerOwnersSchema>, Message>;

/** What `owners` knows of these containers, without those that nobody has touched. */
export function ownersOf(owners: Owners, containerIds: Iterable<string>): ContainerOwners[] {
  return [...new Set(containerIds)]
    .map((containerId) => ({ containerId, owners: fieldsOf(owners, containerId) }))
    .filter((container) => container.owners.length > 0);
}

/** Of updates that one plugin wants. */
export function ownersOfUpdates(
  plugin: string,
  updates: readonly ContainerUpdate[],
): ContainerOwners[] {
  const owners = new Owners();
  const merged = new MergedUpdates(owners);
  for (const update of updates) {
    merged.add(plugin, update);
  }
  return ownersOf(owners, containersOf(updates));
}

export function containersOf(updates: readonly ContainerUpdate[]): string[] {
  return updates.map(({ containerId }) => containerId);
}

function fieldsOf(owners: Owners, containerId: string) {
  return owners.of(containerId).map(({ field, key = '', owner }) => {
    const remover = removedKey(owner);
    return {
      field: fieldName(field),
      key,
      plugin: remover ?? owner,
      action: remover === undefined ? 'set' : 'removed',
    };
  });
}
