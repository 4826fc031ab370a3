import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { type ImageFile, writeTar } from './layer-tar.ts';

/** Packs an OCI layout directory into one tar file, as `skopeo` knows it as `oci-archive`. */
export async function packLayout(layoutDir: string, tarFile: string): Promise<void> {
  const entries = await readdir(layoutDir, { recursive: true, withFileTypes: true });
  const files: ImageFile[] = [];
  for (const entry of entries.filter((e) => e.isFile())) {
    const path = join(entry.parentPath, entry.name);
    files.push({ type: 'file', path: relative(layoutDir, path), content: await readFile(path) });
  }
  await writeFile(tarFile, writeTar(files));
}
