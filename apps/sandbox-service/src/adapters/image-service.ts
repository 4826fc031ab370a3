import { type Bus, busClient } from '@gantry/bus';
import { RuntimeError } from '@gantry/errors';
import { RootFilesystems as RootFilesystemsService } from '@gantry/proto';
import { rangesOf } from '../pods/user-namespace.ts';
import type { PreparedRoot, RootFilesystems } from '../ports.ts';

/** Root file systems as image-service hands them out over the bus. */
export function remoteRootFilesystems(bus: Bus): RootFilesystems {
  const client = busClient(bus, 'image', RootFilesystemsService);
  return {
    async prepare(
      ownerId,
      image,
      { signal, pullIfMissing = false, readOnly = false, mappings } = {},
    ): Promise<PreparedRoot> {
      const ranges = mappings && rangesOf(mappings);
      const request = {
        ownerId,
        image,
        pullIfMissing,
        readOnly,
        ...(ranges && { uidMappings: ranges.uids, gidMappings: ranges.gids }),
      };
      const root = await client.prepareRoot(request, { signal });
      if (root.image === undefined) {
        throw new RuntimeError('internal', `prepare root of ${ownerId}: no image in the answer`);
      }
      return { ...root, image: root.image };
    },
    async release(ownerId, { signal } = {}) {
      await client.releaseRoot({ ownerId }, { signal });
    },
    async list({ signal } = {}) {
      return (await client.listRoots({}, { signal })).ownerIds;
    },
  };
}
