import { type Dirent, readdirSync, statSync } from 'node:fs';
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
import { InTurns } from './in-turns.ts';
import { readSmallFile } from './read-small-file.ts';

/** Reads cgroups by their path below the hierarchies' roots: three files each on v1, nine on v2. */
export class CgroupReader {
  readonly #root: string;
  readonly #turns: InTurns;
  #layout: Promise<CgroupLayout> | undefined;
  #pageSizes: Promise<readonly string[]> | undefined;

  constructor(root = '/sys/fs/cgroup', turns = new InTurns()) {
    this.#root = root;
    this.#turns = turns;
  }

  /** Nothing is in the reading of a cgroup that is not there. */
  async read(cgroupPath: string): Promise<CgroupReading> {
    const layout = await this.#detected();
    return this.#turns.run(() =>
      layout.version === 'v2'
        ? parseV2(readAll(v2Files, (name) => join(layout.root, cgroupPath, name)))
        : parseV1(readAll(v1Files, pathInV1(layout, cgroupPath))),
    );
  }

  /** As `read`, with all that metrics tell: 13 files on v1, 12 on v2, and those of huge pages. */
  async readDetails(
    cgroupPath: string,
  ): Promise<{ readonly details: CgroupDetails; readonly hugePages: readonly HugePages[] }> {
    const layout = await this.#detected();
    this.#pageSizes ??= hugePageSizes();
    const pageSizes = await this.#pageSizes;
    return this.#turns.run(() => ({
      details:
        layout.version === 'v2'
          ? parseV2Details(readAll(v2DetailFiles, (name) => join(layout.root, cgroupPath, name)))
          : parseV1Details(readAll(v1DetailFiles, pathInV1(layout, cgroupPath))),
      hugePages: readHugePages(layout, cgroupPath, pageSizes),
    }));
  }

  /** How many processes are in it and in all below it. */
  async countProcesses(cgroupPath: string): Promise<number> {
    return (await this.processesIn(cgroupPath)).length;
  }

  /** Their pids. */
  async processesIn(cgroupPath: string): Promise<number[]> {
    const directory = cgroupDirectory(await this.#detected(), 'memory', cgroupPath);
    return directory === undefined ? [] : this.#turns.run(() => pidsIn(directory));
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
  const directories = new Map<string, string | undefined>();
  return ({ controller, name }: { readonly controller: string; readonly name: string }) => {
    if (!directories.has(controller)) {
      directories.set(controller, cgroupDirectory(layout, controller, cgroupPath));
    }
    const directory = directories.get(controller);
    return directory && `${directory}/${name}`;
  };
}

function readAll<K extends string, F>(
  files: Readonly<Record<K, F>>,
  pathOf: (file: F) => string | undefined,
): Record<K, string | undefined> {
  const texts = Object.entries<F>(files).map(([key, file]) => {
    const path = pathOf(file);
    return [key, path && readSmallFile(path)];
  });
  return Object.fromEntries(texts) as Record<K, string | undefined>;
}

function pidsIn(directory: string): number[] {
  const text = readSmallFile(join(directory, 'cgroup.procs')) ?? '';
  const own = text.split('\n').filter(Boolean).map(Number);
  const below = entriesOf(directory).filter((entry) => entry.isDirectory());
  return [...own, ...below.flatMap(({ name }) => pidsIn(join(directory, name)))];
}

function entriesOf(directory: string): Dirent[] {
  try {
    // Its own name, its `.`, and a link for each cgroup below: most have none, and 60 files.
    return statSync(directory).nlink === 2 ? [] : readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENODEV')) {
      return [];
    }
    throw error;
  }
}
