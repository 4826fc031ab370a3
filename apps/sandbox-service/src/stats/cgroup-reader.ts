import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type CgroupLayout, cgroupDirectory, detectCgroups, hasCode } from '@gantry/host';
import {
  type CgroupDetails,
  parseV1Details,
  parseV2Details,
  v1DetailFiles,
  v2DetailFiles,
} from '../pod-metrics/cgroup-details.ts';
import { type HugePages, hugePageSizes, readHugePages } from '../pod-metrics/huge-pages.ts';
import type { CgroupReading } from './cgroup-reading.ts';
import { parseV1, v1Files } from './cgroup-v1.ts';
import { parseV2, v2Files } from './cgroup-v2.ts';
import { readSmallFile } from './read-small-file.ts';

/** Reads cgroups by their path below the hierarchies' roots: three files each on v1, nine on v2. */
export class CgroupReader {
  readonly #root: string;
  #layout: Promise<CgroupLayout> | undefined;
  #pageSizes: Promise<readonly string[]> | undefined;

  constructor(root = '/sys/fs/cgroup') {
    this.#root = root;
  }

  /** Nothing is in the reading of a cgroup that is not there. */
  async read(cgroupPath: string): Promise<CgroupReading> {
    const layout = await this.#detected();
    if (layout.version === 'v2') {
      return parseV2(await readAll(v2Files, (name) => join(layout.root, cgroupPath, name)));
    }
    return parseV1(await readAll(v1Files, pathInV1(layout, cgroupPath)));
  }

  /** As `read`, with all that metrics tell: 13 files on v1, 12 on v2, and those of huge pages. */
  async readDetails(
    cgroupPath: string,
  ): Promise<{ readonly details: CgroupDetails; readonly hugePages: readonly HugePages[] }> {
    const layout = await this.#detected();
    this.#pageSizes ??= hugePageSizes();
    const hugePages = readHugePages(layout, cgroupPath, await this.#pageSizes);
    const details =
      layout.version === 'v2'
        ? parseV2Details(
            await readAll(v2DetailFiles, (name) => join(layout.root, cgroupPath, name)),
          )
        : parseV1Details(await readAll(v1DetailFiles, pathInV1(layout, cgroupPath)));
    return { details, hugePages: await hugePages };
  }

  /** How many processes are in it and in all below it. */
  async countProcesses(cgroupPath: string): Promise<number> {
    return (await this.processesIn(cgroupPath)).length;
  }

  /** Their pids. */
  async processesIn(cgroupPath: string): Promise<number[]> {
    const layout = await this.#detected();
    const directory = cgroupDirectory(layout, 'memory', cgroupPath);
    return directory === undefined ? [] : pidsIn(directory);
  }

  #detected(): Promise<CgroupLayout> {
    this.#layout ??= detectCgroups(this.#root).catch((error: unknown) => {
      this.#layout = undefined;
      throw error;
    });
    return this.#layout;
  }
}

function pathInV1(layout: CgroupLayout, cgroupPath: string) {
  return ({ controller, name }: { readonly controller: string; readonly name: string }) => {
    const directory = cgroupDirectory(layout, controller, cgroupPath);
    return directory && join(directory, name);
  };
}

async function readAll<K extends string, F>(
  files: Readonly<Record<K, F>>,
  pathOf: (file: F) => string | undefined,
): Promise<Record<K, string | undefined>> {
  const texts = await Promise.all(
    Object.entries<F>(files).map(async ([key, file]) => {
      const path = pathOf(file);
      return [key, path && (await readSmallFile(path))];
    }),
  );
  return Object.fromEntries(texts) as Record<K, string | undefined>;
}

async function pidsIn(directory: string): Promise<number[]> {
  const [text = '', children] = await Promise.all([
    readSmallFile(join(directory, 'cgroup.procs')),
    readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT', 'ENODEV')) {
        return [];
      }
      throw error;
    }),
  ]);
  const own = text.split('\n').filter(Boolean).map(Number);
  const below = children.filter((child) => child.isDirectory());
  const pids = await Promise.all(below.map((child) => pidsIn(join(directory, child.name))));
  return [...own, ...pids.flat()];
}
