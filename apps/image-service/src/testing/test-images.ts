import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { completeConfig } from '@gantry/config';
import { mountInfo, unmount } from '@gantry/host';
import { newRegistry, type Registry } from '@gantry/telemetry';
import { type Images, openImages } from '../open-images.ts';

export interface TestService {
  readonly images: Images;
  /** Everything lies below; `root/images` holds the store. */
  readonly directory: string;
  readonly metrics: Registry;
  readonly warnings: readonly string[];
  /** What was told with each of them. */
  readonly warned: readonly unknown[];
  /** Writes `certs.d/<host>/hosts.toml`. */
  readonly configureHost: (host: string, toml: string) => void;
  /** Files and directories of unfinished work, and finished layers and blobs. */
  readonly remains: () => Promise<{ temporary: string[]; layers: string[]; blobs: string[] }>;
}

interface Options {
  /** Use this directory, which somebody else removes. */
  readonly directory?: string;
  readonly images?: Record<string, unknown>;
  /** As if the host had been started anew. */
  readonly bootId?: string;
}

export const signal = new AbortController().signal;

/** Gone when the test ends, with whatever is mounted below it. */
export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-images-'));
  t.after(async () => {
    // Hooks run in the order in which they were set: this one must undo what was mounted later.
    const mounts = (await mountInfo()).map(({ mountPoint }) => mountPoint).reverse();
    for (const mountPoint of mounts.filter((path) => path.startsWith(directory))) {
      await unmount(mountPoint, { detach: true });
    }
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

/** The service without its bus, in a directory of its own; it ends with the test. */
export async function startImages(t: TestContext, options: Options = {}): Promise<TestService> {
  const directory = options.directory ?? temporaryDirectory(t);
  const certs = join(directory, 'certs.d');
  mkdirSync(certs, { recursive: true });
  const config = completeConfig({
    root_dir: join(directory, 'root'),
    state_dir: join(directory, 'state'),
    images: {
      registry_config_path: certs,
      unpack_workers: 2,
      layer_store: process.env['GANTRY_TEST_LAYER_STORE'] ?? 'auto',
      ...options.images,
    },
  });
  const warnings: string[] = [];
  const warned: unknown[] = [];
  const log = {
    warn: (fields: unknown, message = '') => {
      warnings.push(message);
      warned.push(fields);
    },
  };
  const metrics = newRegistry({ service: 'image', instance: 'test' });
  const images = await openImages({
    config,
    log,
    metrics,
    backoffMs: 1,
    ...(options.bootId === undefined ? {} : { bootId: options.bootId }),
  });
  t.after(() => images[Symbol.asyncDispose]());
  return {
    images,
    directory,
    metrics,
    warnings,
    warned,
    configureHost: (host, toml) => {
      mkdirSync(join(certs, host), { recursive: true });
      writeFileSync(join(certs, host, 'hosts.toml'), toml);
    },
    remains: async () => {
      const root = join(directory, 'root', 'images');
      const list = (path: string) => readdir(join(root, path)).then((names) => names.sort());
      const listOrNothing = (path: string) => list(path).catch(() => [] as string[]);
      const own = (await list('tmp')).filter((name) => !name.endsWith('.lock'));
      const temporary = (await Promise.all(own.map((name) => list(join('tmp', name))))).flat();
      const layers = (await Promise.all(['layers', 'erofs/layers'].map(listOrNothing))).flat();
      return { temporary, layers: layers.sort(), blobs: await list('content/blobs/sha256') };
    },
  };
}
