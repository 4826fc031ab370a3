import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { RuntimeError } from '@gantry/errors';
import { type TarEntry, TarReader, type TarSink } from '@gantry/tar';
import { endOfArchive, entryHeader, paddingOf, type WrittenEntry } from './tar-entry.ts';

const opaqueMark = 'trusted.overlay.opaque';
const maxWords = 2000;

/**
 * A layer that was extracted to `root`, as a tar again: the same bytes each
 * time, though not those that it came as. What overlayfs wants is turned back
 * into the whiteouts of the OCI image spec (layer.md). Directories of
 * `implicit` (relative, one character a byte) had no entry, and get none.
 * Needs GNU tar, of every Debian, for the extended attributes.
 */
export async function* packTree(
  root: string,
  implicit: ReadonlySet<string>,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const tar = spawn(
    'tar',
    [
      ...[
        '--create',
        '--directory',
        root,
        '--format=pax',
        '--pax-option=delete=atime,delete=ctime',
      ],
      ...['--sort=name', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--file=-', '.'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], LC_ALL: 'C' }, signal },
  );
  const ended = once(tar, 'close') as Promise<[number | null]>;
  // Awaited below; a failure to start must not be unheard of until then.
  ended.catch(() => undefined);
  let words = '';
  tar.stderr.on('data', (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(0, maxWords);
  });
  const sink = new LayerSink(implicit);
  const reader = new TarReader(sink);
  try {
    for await (const chunk of tar.stdout as AsyncIterable<Buffer>) {
      reader.push(chunk);
      yield* sink.take();
    }
    const [code] = await ended;
    if (code !== 0) {
      throw new RuntimeError('internal', `tar of ${root} ended with ${code}: ${words.trim()}`);
    }
    reader.finish();
    yield* sink.take();
    yield endOfArchive;
  } finally {
    tar.kill('SIGKILL');
  }
}

class LayerSink implements TarSink {
  readonly #implicit: ReadonlySet<string>;
  #out: Buffer[] = [];
  #size = 0;

  constructor(implicit: ReadonlySet<string>) {
    this.#implicit = implicit;
  }

  entry(entry: TarEntry): void {
    const path = cleaned(entry.path);
    this.#size = entry.size;
    if (entry.type === 'char' && entry.major === 0 && entry.minor === 0) {
      this.#add(emptyFile(path, nameIn(path), '.wh.'));
      return;
    }
    const isOpaque = entry.xattrs.has(opaqueMark);
    const relative = path.toString('latin1');
    if (entry.type !== 'directory' || !this.#implicit.has(relative)) {
      this.#add({
        ...entry,
        path: relative === '' ? Buffer.from('./') : path,
        linkTarget: entry.type === 'hardlink' ? cleaned(entry.linkTarget) : entry.linkTarget,
        xattrs: new Map([...entry.xattrs].filter(([name]) => !name.startsWith('trusted.overlay.'))),
      });
    }
    if (isOpaque) {
      const inside = relative === '' ? path : Buffer.concat([path, Buffer.from('/')]);
      this.#add(emptyFile(inside, inside.length, '.wh..wh..opq'));
    }
  }

  data(chunk: Buffer): void {
    this.#out.push(Buffer.from(chunk));
  }

  end(): void {
    this.#out.push(paddingOf(this.#size));
  }

  take(): Buffer[] {
    const out = this.#out;
    this.#out = [];
    return out.length === 0 ? [] : [Buffer.concat(out)];
  }

  #add(entry: WrittenEntry): void {
    this.#out.push(entryHeader(entry));
  }
}

/** An empty file whose path is `path` with `prefix` put in at `at`. */
function emptyFile(path: Buffer, at: number, prefix: string): WrittenEntry {
  return {
    type: 'file',
    path: Buffer.concat([path.subarray(0, at), Buffer.from(prefix), path.subarray(at)]),
    linkTarget: Buffer.alloc(0),
    mode: 0o600,
    uid: 0,
    gid: 0,
    size: 0,
    mtimeNanos: 0n,
    major: 0,
    minor: 0,
  };
}

/** Where the last component begins. */
function nameIn(path: Buffer): number {
  return path.lastIndexOf(0x2f) + 1;
}

/** Without the `./` before it and the `/` behind it; empty for the root. */
function cleaned(path: Buffer): Buffer {
  const text = path
    .toString('latin1')
    .replace(/^\.\/?/, '')
    .replace(/\/$/, '');
  return Buffer.from(text, 'latin1');
}
