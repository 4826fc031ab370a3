import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { type Dump, readTarEntries, TarDump } from './testing.ts';

const bytes = (path: string): Buffer => Buffer.from(path, 'latin1');

/** Extracts layers with GNU tar, one over the other; whiteouts are carried out beforehand. */
export function extractWithTar(root: string, layers: readonly Buffer[]): void {
  mkdirSync(root);
  for (const layer of layers) {
    makeWay(root, layer);
    execFileSync(
      'tar',
      [
        ...['-C', root, '--delay-directory-restore', '--numeric-owner', '--same-permissions'],
        ...['--xattrs', '--xattrs-include=*', '--exclude=.wh.*', '-xf', '-'],
      ],
      { input: layer, stdio: ['pipe', 'ignore', 'ignore'] },
    );
  }
}

/** Removes what a layer hides, and what stands where it brings another kind. */
function makeWay(root: string, layer: Buffer): void {
  for (const { path, type } of readTarEntries(layer)) {
    const full = `${root}/${path}`;
    const slash = full.lastIndexOf('/');
    const [parent, name] = [full.slice(0, slash), full.slice(slash + 1)];
    if (name === '.wh..wh..opq') {
      for (const child of readdirSync(bytes(parent), { encoding: 'buffer' })) {
        rmSync(bytes(`${parent}/${child.toString('latin1')}`), { recursive: true });
      }
    } else if (name.startsWith('.wh.')) {
      rmSync(bytes(`${parent}/${name.slice(4)}`), { recursive: true, force: true });
    } else {
      const stats = lstatSync(bytes(full), { throwIfNoEntry: false });
      if (stats !== undefined && stats.isDirectory() !== (type === 'directory')) {
        rmSync(bytes(full), { recursive: true });
      }
    }
  }
}

/** What GNU tar sees of a tree. */
export async function dumpTree(root: string): Promise<Dump> {
  const args = ['-C', root, '--format=pax', '--xattrs', '--xattrs-include=*'];
  const tar = spawn('tar', [...args, '--numeric-owner', '--sort=name', '-cf', '-', '.'], {
    // It warns of times before 1970.
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const dump = new TarDump();
  tar.stdout.on('data', (chunk: Buffer) => dump.push(chunk));
  const [code] = (await once(tar, 'close')) as [number];
  assert.equal(code, 0);
  return dump.finish();
}

/** Directories whose own entry is the last that touches them: only their times are the archive's in a reference. */
export function settledDirectories(tars: readonly Buffer[]): Set<string> {
  const settled = new Set<string>();
  for (const tar of tars) {
    const entries = readTarEntries(tar);
    for (const { path } of entries) {
      settled.delete(path.slice(0, Math.max(0, path.lastIndexOf('/'))));
    }
    for (const { path, type } of entries) {
      if (type === 'directory' && path !== '') {
        settled.add(path);
      }
    }
  }
  return settled;
}

/** Leaves out the times of other directories. */
export function withoutMadeUpTimes(dump: Dump, settled: ReadonlySet<string>): Dump {
  return Object.fromEntries(
    Object.entries(dump).map(([path, line]) => [
      path,
      settled.has(path) ? line : line.replace(/^(directory \d+ \d+:\d+) -?\d+/, '$1'),
    ]),
  );
}
