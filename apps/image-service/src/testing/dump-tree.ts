import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { type TarEntry, TarReader } from '@gantry/tar';

/** A tree as GNU tar sees it: a line of everything that is kept of an inode, by path. */
export function dumpTree(root: string): Record<string, string> {
  const archive = execFileSync(
    'tar',
    ['-C', root, '--format=pax', '--xattrs', '--xattrs-include=*', '--sort=name', '-cf', '-', '.'],
    { maxBuffer: 1 << 28 },
  );
  const tree: Record<string, string> = {};
  let current: { entry: TarEntry; hash: ReturnType<typeof createHash> } | undefined;
  const reader = new TarReader({
    entry: (entry) => {
      current = { entry, hash: createHash('sha256') };
    },
    data: (chunk) => {
      current?.hash.update(chunk);
    },
    end: () => {
      if (current !== undefined) {
        const { entry, hash } = current;
        const path = entry.path
          .toString('latin1')
          .replace(/^\.\/?/, '')
          .replace(/\/$/, '');
        tree[path] = describe(entry, hash.digest('hex'));
      }
    },
  });
  reader.push(archive);
  reader.finish();
  // The root's own time depends on whether the archive had an entry for it.
  delete tree[''];
  return tree;
}

function describe(entry: TarEntry, content: string): string {
  const isNode = entry.type === 'char' || entry.type === 'block';
  const xattrs = [...entry.xattrs].map(([name, value]) => `${name}=${value.toString('latin1')}`);
  return [
    entry.type,
    ...(isNode ? [`${entry.major}:${entry.minor}`] : []),
    entry.mode.toString(8),
    `${entry.uid}:${entry.gid}`,
    ...(entry.type === 'file' ? [`size ${entry.size}`, content.slice(0, 12)] : []),
    ...(entry.linkTarget.length > 0 ? [`-> ${entry.linkTarget.toString('latin1')}`] : []),
    String(entry.mtimeNanos),
    ...xattrs.sort(),
  ].join(' ');
}
