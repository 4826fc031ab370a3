import { stat } from 'node:fs/promises';
import { syncFilesystem } from '@gantry/host';

/** Has all survive a power cut that lies on the file systems of these directories; most often it is one. */
export async function syncTogether(...directories: readonly string[]): Promise<void> {
  const devices = new Map<number, string>();
  for (const directory of directories) {
    devices.set((await stat(directory)).dev, directory);
  }
  for (const directory of devices.values()) {
    await syncFilesystem(directory);
  }
}
