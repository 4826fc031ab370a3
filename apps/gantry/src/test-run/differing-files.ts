import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** The paths of the files that differ between two directories, or are in only one of them. */
export async function differingFiles(one: string, other: string): Promise<string[]> {
  const [left, right] = [await filesOf(one), await filesOf(other)];
  const paths = [...new Set([...left.keys(), ...right.keys()])].sort();
  return paths.filter((path) => {
    const [a, b] = [left.get(path), right.get(path)];
    return a === undefined || b === undefined || !a.equals(b);
  });
}

async function filesOf(dir: string): Promise<ReadonlyMap<string, Buffer>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = new Map<string, Buffer>();
  for (const entry of entries.filter((e) => e.isFile())) {
    const path = join(entry.parentPath, entry.name);
    files.set(relative(dir, path), await readFile(path));
  }
  return files;
}
