import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Config } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';
import { statFilesystem } from '@gantry/host';

/** Below this nothing can start: logs, records and the files of NATS take about so much. */
const leastBytes = 4 << 20;

/**
 * Makes the directories of a stack. Throws `failed-precondition` that names the one that can't be made, and
 * `resource-exhausted` where there is no room in it: a service could not even log that.
 */
export async function checkDirectories(config: Config, least = leastBytes): Promise<void> {
  const directories = { state_dir: config.state_dir, root_dir: config.root_dir };
  for (const [key, path] of Object.entries(directories)) {
    await make(path, key);
    const { availableBytes } = await statFilesystem(path);
    if (availableBytes < least) {
      throw new RuntimeError(
        'resource-exhausted',
        `${key} ${path}: no space left on device: ${Math.floor(availableBytes / 1024)} KiB are free, and nothing can start with less than ${Math.floor(least / 1024)}. Make room, or set ${key} in the config file`,
      );
    }
  }
  await make(dirname(config.grpc.socket), 'the directory of grpc.socket');
}

async function make(path: string, what: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o711 });
  } catch (cause) {
    throw new RuntimeError('failed-precondition', `make ${what} ${path}`, { cause });
  }
}
