import { createHash } from 'node:crypto';
import { RuntimeError } from '@gantry/errors';
import { digestOf, parseDockerArchiveManifest, parseImageConfig } from '@gantry/oci';
import type { Archive } from './archive.ts';
import type { FoundImage } from './oci-layout.ts';

/**
 * Reads every image of a `docker save` archive. Its layers have no digest as
 * they lie there: the diff ids of the config, whose digest is the image's id,
 * vouch for them.
 */
export async function readDockerArchive(archive: Archive, manifest: Buffer): Promise<FoundImage[]> {
  const entries = parseDockerArchiveManifest(manifest, 'manifest.json');
  if (entries.length === 0) {
    throw new RuntimeError('invalid-argument', 'manifest.json: no image in it');
  }
  return Promise.all(
    entries.map(async (entry) => {
      const config = await archive.read(entry.Config);
      if (config === undefined) {
        throw new RuntimeError('invalid-argument', `config ${entry.Config}: not in the archive`);
      }
      const { diffIds, user } = parseImageConfig(config, `config ${entry.Config}`);
      if (diffIds.length !== entry.Layers.length) {
        throw new RuntimeError(
          'invalid-argument',
          `manifest.json has ${entry.Layers.length} layers, its config ${diffIds.length}`,
        );
      }
      return {
        image: {
          id: digestOf('sha256', createHash('sha256').update(config).digest('hex')),
          config,
          user,
          documents: [],
          layers: diffIds.map((diffId, index) => ({
            spec: { diffId },
            canResume: false,
            open: () => archive.open(entry.Layers[index] ?? ''),
          })),
        },
        names: entry.RepoTags ?? [],
      };
    }),
  );
}
