import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Files of the host, read below a root that a test can choose. */
export interface HostFiles {
  /** Undefined for what is not there or not ours to read. */
  read(path: string): string | undefined;
  exists(path: string): boolean;
  /** Names in a directory, sorted; none when there is no such directory. */
  list(path: string): readonly string[];
}

export function hostFiles(root = '/'): HostFiles {
  return {
    read: (path) => {
      try {
        return readFileSync(join(root, path), 'utf8');
      } catch {
        return undefined;
      }
    },
    exists: (path) => existsSync(join(root, path)),
    list: (path) => {
      try {
        return readdirSync(join(root, path)).sort();
      } catch {
        return [];
      }
    },
  };
}
