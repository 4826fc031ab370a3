import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { buildImage, type ImageConfig, type ImageFile } from '@gantry/debian-image';
import { imageLayout } from './run-dir.ts';
import type { Stack } from './stack.ts';

export interface ImportedImage {
  readonly name: string;
  readonly id: string;
}

interface Options {
  /** Last part of the name. */
  readonly name: string;
  /** Bottom first; a layer is its files or the bytes of a tar, as they are. */
  readonly layers: readonly (readonly ImageFile[] | Uint8Array)[];
  readonly config?: ImageConfig;
  /** Put the layers on top of busybox, so that it can run. */
  readonly onBusybox?: boolean;
}

/** Makes an image of these files and imports it into the stack. */
export async function importImage(stack: Stack, options: Options): Promise<ImportedImage> {
  const name = `localhost/e2e/${options.name}:1`;
  const base = options.onBusybox === true ? await busyboxLayers() : [];
  const outDir = join(stack.dir, 'layouts', options.name);
  const { id } = await buildImage({
    outDir,
    name,
    layers: [...base, ...options.layers],
    ...(options.config === undefined ? {} : { config: options.config }),
  });
  await stack.gantryOk('image', 'import', outDir, '--name', name);
  return { name, id };
}

/** The layers that the stack has on disk, whichever store keeps them. */
export async function keptLayers(stack: Stack): Promise<readonly string[]> {
  const list = (path: string) => readdir(join(stack.rootDir, 'images', path)).catch(() => []);
  return [...(await list('erofs/layers')), ...(await list('layers'))];
}

interface Manifest {
  readonly manifests: readonly { readonly digest: string }[];
  readonly layers: readonly { readonly digest: string; readonly mediaType: string }[];
}

async function busyboxLayers(): Promise<readonly Uint8Array[]> {
  const layout = imageLayout('busybox');
  const blob = (digest: string) => readFile(join(layout, 'blobs', digest.replace(':', '/')));
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as Manifest;
  const manifest = JSON.parse(
    (await blob(index.manifests[0]?.digest ?? '')).toString(),
  ) as Manifest;
  return Promise.all(
    manifest.layers.map(async ({ digest, mediaType }) => {
      const bytes = await blob(digest);
      return mediaType.endsWith('gzip') ? gunzipSync(bytes) : bytes;
    }),
  );
}
