import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, RuntimeError } from '@gantry/errors';
import { watchDirectory } from '../runtime/watch-directory.ts';
import { type NetworkConfig, parseNetworkConfig } from './network-config.ts';

/** The configuration in force, or why there is none. */
export type LoadedConfig =
  | { readonly file: string; readonly config: NetworkConfig }
  | { readonly fault: string };

/**
 * The first network configuration of a directory in the order of names (`.conflist`, `.conf`,
 * `.json`), kept up to date while it is open. The first file decides: where it has a fault there
 * is no network, and the fault is told, instead of pods in a network that nobody chose.
 */
export interface ConfigDirectory extends AsyncDisposable {
  readonly current: LoadedConfig;
  /** Reads the directory now. */
  reload(): Promise<LoadedConfig>;
}

/** Opens and watches `dir`, which need not exist yet. */
export async function openConfigDirectory(dir: string): Promise<ConfigDirectory> {
  let current: LoadedConfig = { fault: '' };
  let lastBegun = 0;
  let lastTaken = 0;
  const reload = async (): Promise<LoadedConfig> => {
    lastBegun += 1;
    const turn = lastBegun;
    const loaded = await loadConfig(dir);
    // An older look that ends later must not hide what a newer one has seen: no event would correct it.
    if (turn > lastTaken) {
      lastTaken = turn;
      current = loaded;
    }
    return loaded;
  };
  const watching = await watchDirectory(dir, async () => {
    await reload();
  });
  return {
    get current() {
      return current;
    },
    reload,
    [Symbol.asyncDispose]: () => watching[Symbol.asyncDispose](),
  };
}

async function loadConfig(dir: string): Promise<LoadedConfig> {
  const names = await readdir(dir).catch(() => []);
  const [file] = names.filter((name) => /\.(conflist|conf|json)$/.test(name)).sort();
  if (file === undefined) {
    return { fault: `no configuration in ${dir}` };
  }
  const path = join(dir, file);
  try {
    const data: unknown = JSON.parse(await readFile(path, 'utf8'));
    return { file: path, config: parseNetworkConfig(data) };
  } catch (error) {
    return { fault: `${path}: ${messageOf(error)}` };
  }
}

/** The configuration, or `failed-precondition` with the words that status() uses. */
export function requireConfig(loaded: LoadedConfig): NetworkConfig {
  if ('fault' in loaded) {
    throw new RuntimeError('failed-precondition', notReady(loaded.fault));
  }
  return loaded.config;
}

/** `cni config uninitialized: no configuration in /etc/cni/net.d`. */
export function notReady(fault: string): string {
  return `cni config uninitialized: ${fault}`;
}
