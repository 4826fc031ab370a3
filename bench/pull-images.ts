import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { buildImage } from '@gantry/debian-image';
import type { Registry } from '@gantry/tests-e2e';

/** An image that both sides pull. */
export interface PullImage {
  readonly title: string;
  /** In the registry. */
  readonly name: string;
  readonly layout: string;
  /** Rows of the table with a goal of their own. */
  readonly goals: { readonly erofs: number; readonly directories?: number };
}

/** Puts the images of the comparison into a registry: large ones that shrink to a third, and many small ones. */
export async function pushImages(registry: Registry, dir: string): Promise<PullImage[]> {
  const shapes = [
    { title: '5 layers, 100 MB, 3,500 files', tag: 'big', layers: 5, files: 700, bytes: 30_000 },
    { title: '60 layers of 5 small files', tag: 'many', layers: 60, files: 5, bytes: 2000 },
  ];
  const images: PullImage[] = [];
  for (const { title, tag, layers, files, bytes } of shapes) {
    const layout = join(dir, tag);
    await buildImage({
      outDir: layout,
      name: `localhost/bench/${tag}:1`,
      layers: Array.from({ length: layers }, (_, layer) =>
        Array.from({ length: files }, (__, file) => ({
          type: 'file' as const,
          path: `opt/layer-${layer}/directory-${file % 20}/file-${file}`,
          content: contentOf(bytes),
        })),
      ),
    });
    await registry.push(layout, `bench/${tag}:1`);
    const goals = tag === 'big' ? { erofs: 0.5, directories: 1.0 } : { erofs: 0.5 };
    images.push({ title, name: `${registry.host}/bench/${tag}:1`, layout, goals });
  }
  return images;
}

/** Shrinks to about a third, as programs do. */
function contentOf(bytes: number): Buffer {
  const content = Buffer.alloc(bytes, 'the quick brown fox jumps over the lazy dog ');
  for (let at = 0; at + 64 < bytes; at += 256) {
    randomBytes(64).copy(content, at);
  }
  return content;
}
