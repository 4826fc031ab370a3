import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeDirectories, makeDirectoriesSync } from './make-directories.ts';

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'make-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

for (const [name, make] of [
  ['async', makeDirectories],
  ['sync', (path: string, mode: number) => Promise.try(makeDirectoriesSync, path, mode)],
] as const) {
  test(`all that is missing is made, what is there stays as it is (${name})`, async (t) => {
    const base = await directory(t);
    await make(join(base, 'a/b/c'), 0o755);
    assert.ok((await stat(join(base, 'a/b/c'))).isDirectory());
    await chmod(join(base, 'a/b'), 0o700);
    await make(join(base, 'a/b'), 0o755);
    await make(join(base, 'a/b/d/'), 0o755);
    assert.equal((await stat(join(base, 'a/b'))).mode & 0o777, 0o700);
  });

  test(`where the kernel makes no directory, that is told and not tried for ever (${name})`, async (t) => {
    const base = await directory(t);
    await writeFile(join(base, 'file'), '');
    await symlink('nowhere', join(base, 'dangling'));
    await symlink('loop', join(base, 'loop'));
    for (const [path, code] of [
      ['/proc/no-such', 'ENOENT'],
      ['/proc/no-such/below', 'ENOENT'],
      [join(base, 'file'), 'EEXIST'],
      [join(base, 'file/below'), 'ENOTDIR'],
      [join(base, 'dangling'), 'ENOENT'],
      [join(base, 'dangling/below'), 'ENOENT'],
      [join(base, 'loop/below'), 'ELOOP'],
      [join(base, 'n'.repeat(256)), 'ENAMETOOLONG'],
    ] as const) {
      await assert.rejects(make(path, 0o755), { code }, path);
    }
  });
}

test('callers of one moment make the same directories', async (t) => {
  const base = await directory(t);
  const path = join(base, 'a/b/c/d');
  await Promise.all(Array.from({ length: 20 }, () => makeDirectories(path, 0o755)));
  assert.ok((await stat(path)).isDirectory());
});
