import type { ServiceImpl } from '@gantry/bus';
import type { ImageImport } from '@gantry/proto';
import type { ImportedImage } from '../import/import-images.ts';

interface Deps {
  readonly importImages: (
    path: string,
    name: string,
    signal: AbortSignal,
  ) => Promise<readonly ImportedImage[]>;
}

/** Imports the images of an archive or layout that lies on this host. */
export function importImage(deps: Deps): ServiceImpl<typeof ImageImport>['importImage'] {
  return async ({ path, name }, { signal }) => {
    const images = await deps.importImages(path, name, signal);
    return { images: images.map(({ id, names }) => ({ id, names: [...names] })) };
  };
}
