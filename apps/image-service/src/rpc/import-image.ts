import type { ServiceImpl } from '@gantry/bus';
import { RuntimeError } from '@gantry/errors';
import type { ImageImport } from '@gantry/proto';
import type { ImportedImage, ImportFrom } from '../import/import-images.ts';

interface Deps {
  readonly importImages: (
    from: ImportFrom,
    name: string,
    signal: AbortSignal,
  ) => Promise<readonly ImportedImage[]>;
}

/** Imports the images of an archive or layout that lies on this host, or one of an engine. */
export function importImage(deps: Deps): ServiceImpl<typeof ImageImport>['importImage'] {
  return async ({ path, name, engine }, { signal }) => {
    if (engine !== undefined && (path !== '' || engine.image === '' || engine.socket === '')) {
      throw new RuntimeError(
        'invalid-argument',
        'import: an image of an engine needs its name and the socket of the engine, and no path',
      );
    }
    const from = engine === undefined ? { path } : { engine };
    const images = await deps.importImages(from, name, signal);
    return { images: images.map(({ id, names }) => ({ id, names: [...names] })) };
  };
}
