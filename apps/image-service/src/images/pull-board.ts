import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@gantry/errors';
import { hasCode, identifyProcess, isRunning, type ProcessId } from '@gantry/host';
import type { Digest } from '@gantry/oci';
import type { Logger } from '@gantry/telemetry';
import type { Clock, LayerSpec } from '../ports.ts';

/** A layer of a pull that is under way. */
export interface LayerReport {
  readonly digest: string;
  /** In bytes; 0 where the manifest does not tell. */
  readonly size: number;
  readonly received: number;
  readonly state: 'waiting' | 'fetching' | 'present';
}

export interface PullReport {
  readonly image: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly layers: readonly LayerReport[];
  /** Hosts of no use, and why. */
  readonly passedOver: readonly string[];
  readonly instance: string;
}

/** A pull that shows on the board until it is disposed of. */
export interface Announcement extends Disposable {
  /** To be called once the manifest is known. */
  setLayers(layers: readonly LayerSpec[]): void;
  /** Another host is asked instead of this one. */
  passOver(host: string, why: string): void;
}

interface Options {
  /** Volatile, of this node, shared by its instances. */
  readonly directory: string;
  readonly instance: string;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'warn'>;
  /** What has become of a layer. */
  readonly layer: (diffId: Digest) => {
    readonly received: number;
    readonly state: LayerReport['state'];
  };
  /** How often the other instances are told, in milliseconds. */
  readonly intervalMs?: number;
}

interface Page {
  readonly process: ProcessId;
  readonly pulls: readonly PullReport[];
}

interface Entry {
  readonly image: string;
  readonly startedAt: number;
  layers: readonly LayerSpec[];
  readonly passedOver: string[];
}

/** A mirror may be of no use for each layer of an image. */
const maxPassedOver = 20;

/**
 * Where the pulls of all instances of a node can be seen while they run. Each
 * instance writes a page of its own, several times a second and only while it
 * pulls; the page of a process that has died does not count, and goes.
 */
export class PullBoard implements AsyncDisposable {
  readonly #options: Options;
  readonly #file: string;
  readonly #process: ProcessId;
  readonly #entries = new Set<Entry>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(options: Options, process: ProcessId) {
    this.#options = options;
    this.#process = process;
    this.#file = join(options.directory, `${options.instance}.json`);
  }

  static async open(options: Options): Promise<PullBoard> {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    const self = await identifyProcess(process.pid);
    return new PullBoard(options, self ?? { pid: process.pid, startTime: '' });
  }

  announce(image: string): Announcement {
    const entry: Entry = { image, startedAt: this.#options.clock(), layers: [], passedOver: [] };
    this.#entries.add(entry);
    this.#timer ??= setInterval(() => {
      this.#publish();
    }, this.#options.intervalMs ?? 250).unref();
    return {
      setLayers: (layers) => {
        entry.layers = layers;
      },
      passOver: (host, why) => {
        if (entry.passedOver.length < maxPassedOver) {
          entry.passedOver.push(`${host}: ${why}`);
        }
      },
      [Symbol.dispose]: () => {
        this.#entries.delete(entry);
        if (this.#entries.size === 0) {
          clearInterval(this.#timer);
          this.#timer = undefined;
          this.#publish();
        }
      },
    };
  }

  /** Every pull of the node, oldest first; those of this instance as they are now. */
  async list(): Promise<readonly PullReport[]> {
    const { directory, instance } = this.#options;
    const names = (await readdir(directory)).filter(
      (name) => name.endsWith('.json') && name !== `${instance}.json`,
    );
    const pages = await Promise.all(names.map((name) => readPage(join(directory, name))));
    const pulls = [...this.#own(), ...pages.flat()];
    return pulls.sort((a, b) => a.startedAt - b.startedAt);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
    await rm(this.#file, { force: true });
  }

  #own(): PullReport[] {
    const { instance, layer } = this.#options;
    return [...this.#entries].map(({ image, startedAt, layers, passedOver }) => ({
      image,
      startedAt,
      instance,
      passedOver,
      layers: layers.map(({ diffId, digest, size = 0 }) => {
        const { received, state } = layer(diffId);
        const isPresent = state === 'present';
        return { digest: digest ?? diffId, size, state, received: isPresent ? size : received };
      }),
    }));
  }

  /** One write at a time; a failure costs others the sight of this instance's pulls, and no pull. */
  #publish(): void {
    this.#writing = this.#writing
      .then(async () => {
        const page: Page = { process: this.#process, pulls: this.#own() };
        await (page.pulls.length === 0
          ? rm(this.#file, { force: true })
          : replace(this.#file, JSON.stringify(page)));
      })
      .catch((error: unknown) => {
        this.#options.log.warn({ error: messageOf(error) }, 'showing pulls to others failed');
      });
  }
}

/** Not at once, as small files are written elsewhere: on a disk, replacing a file waits for it. */
async function replace(file: string, text: string): Promise<void> {
  await writeFile(temporaryOf(file), text, { mode: 0o600 });
  await rename(temporaryOf(file), file);
}

function temporaryOf(file: string): string {
  return `${file}.tmp`;
}

async function readPage(file: string): Promise<readonly PullReport[]> {
  let page: Page;
  try {
    page = JSON.parse(await readFile(file, 'utf8')) as Page;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return [];
    }
    throw error;
  }
  if (await isRunning(page.process)) {
    return page.pulls;
  }
  await rm(file, { force: true });
  await rm(temporaryOf(file), { force: true });
  return [];
}
