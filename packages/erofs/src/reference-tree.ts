import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { readTarEntries } from './testing.ts';

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
