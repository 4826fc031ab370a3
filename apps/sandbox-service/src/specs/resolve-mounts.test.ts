import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { kindOf } from '@gantry/errors';
import { MountPropagation, MountSchema } from '@gantry/proto';
import { propagationIn, resolveMounts } from './resolve-mounts.ts';

async function directory(t: TestContext): Promise<string> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'mounts-')));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

test('a link is followed on the host, and the request stays as it was', async (t) => {
  const base = await directory(t);
  await mkdir(join(base, 'real'));
  await symlink('real', join(base, 'link'));
  const request = create(MountSchema, { containerPath: '/data', hostPath: join(base, 'link') });
  const [mount] = await resolveMounts([request]);
  assert.deepEqual(mount, { request, source: join(base, 'real') });
});

test('a source that is not there becomes a directory', async (t) => {
  const hostPath = join(await directory(t), 'a/b');
  await resolveMounts([create(MountSchema, { containerPath: '/data', hostPath })]);
  assert.ok((await stat(hostPath)).isDirectory());
});

test('a source that is not absolute is refused', async () => {
  for (const [mount, kind] of [
    [{ hostPath: '' }, 'invalid-argument'],
    [{ hostPath: 'var/lib' }, 'invalid-argument'],
    [{ hostPath: '/a\0b' }, 'invalid-argument'],
  ] as const) {
    const request = create(MountSchema, { containerPath: '/data', ...mount });
    await assert.rejects(resolveMounts([request]), (error) => kindOf(error) === kind);
  }
});

test('an image volume and a path with mapped ids have stand-ins for sources', async (t) => {
  const hostPath = await directory(t);
  const requests = [
    create(MountSchema, { containerPath: '/image', image: { image: 'busybox' } }),
    create(MountSchema, { containerPath: '/plain', hostPath }),
    create(MountSchema, { containerPath: '/shifted', hostPath }),
  ];
  const mounts = await resolveMounts(requests, {
    images: new Map([[0, '/mounts/c1.images/0']]),
    shifted: (_, index) => (index === 2 ? '/mounts/c1.volumes/2' : undefined),
  });
  assert.deepEqual(
    mounts.map(({ source, idsMapped = false }) => [source, idsMapped]),
    [
      ['/mounts/c1.images/0', true],
      [await realpath(hostPath), false],
      ['/mounts/c1.volumes/2', true],
    ],
  );
});

test('the propagation of a source is looked up only where it is asked for', async (t) => {
  const hostPath = await directory(t);
  const request = create(MountSchema, {
    containerPath: '/data',
    hostPath,
    propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  });
  const [mount] = await resolveMounts([request]);
  assert.equal(typeof mount?.propagation?.shared, 'boolean');
});

test('a source propagates as the deepest mount above it, the last one of a place', () => {
  const table = [
    '21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda rw',
    '22 21 8:2 / /data rw,relatime - ext4 /dev/sdb rw',
    '23 22 8:3 / /data/my\\040files rw shared:7 master:3 - ext4 /dev/sdc rw',
    '24 21 8:4 / /data rw,relatime master:9 - ext4 /dev/sdd rw',
    '',
  ].join('\n');
  const of = (path: string) => propagationIn(table, path);
  assert.deepEqual(of('/home'), { shared: true, slave: false });
  assert.deepEqual(of('/data/x'), { shared: false, slave: true });
  assert.deepEqual(of('/data/my files/x'), { shared: true, slave: true });
  assert.deepEqual(of('/database'), { shared: true, slave: false });
});
