import { type Bus, busClient } from '@gantry/bus';
import { RuntimeError } from '@gantry/errors';
import { RootFilesystems as RootFilesystemsService } from '@gantry/proto';
import type { PreparedRoot, RootFilesystems } from '../ports.ts';

/** Root file systems as image-service hands them out over the bus. */
export function remoteRootFilesystems(bus: Bus): RootFilesystems {
  const client = busClient(bus, 'image', RootFilesystemsService);
  return {
    async prepare(ownerId, image, { signal, pullIfMissing = false } = {}): Promise<PreparedRoot> {
      const root = await client.prepareRoot({ ownerId, image, pullIfMissing }, { signal });
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
