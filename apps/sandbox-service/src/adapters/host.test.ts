import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { mountOverlay, unmount } from '@gantry/host';
import { hostMounts } from './host.ts';

// Where SELinux is on, these labels may be good ones.
const skip =
  process.geteuid?.() === 0 && !existsSync('/sys/fs/selinux/enforce')
    ? false
    : 'needs root and no SELinux';
const label = 'system_u:object_r:container_file_t:s0:c1,c2';

function directories(t: TestContext): { readonly source: string; readonly target: string } {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-layers-'));
  const [source, target] = [join(dir, 'source'), join(dir, 'target')];
  mkdirSync(source);
  mkdirSync(target);
  writeFileSync(join(source, 'file'), '');
  t.after(async () => {
    await unmount(target);
    rmSync(dir, { recursive: true, force: true });
  });
  return { source, target };
}

const mounts = hostMounts({ warn: () => assert.fail('nothing is in use') });

test('the layer of an image of one is shown as it is, and with a label by an overlay that has it', {
  skip,
}, async (t) => {
  const { source, target } = directories(t);
  await mounts.layers({ lowerDirs: [source], target });
  assert.deepEqual(readdirSync(target), ['file']);
  await mounts.unmount(target);
  // A bind would not have asked the kernel, which knows no labels here.
  await assert.rejects(mounts.layers({ lowerDirs: [source], target, label }), { code: 'EINVAL' });
  assert.deepEqual(readdirSync(target), []);
});

test('a mount point that is empty is a layer like any other', { skip }, async (t) => {
  const { source, target } = directories(t);
  await mountOverlay({ lowerDirs: [source, target], target });
  assert.deepEqual(readdirSync(target), ['file']);
  assert.throws(() => writeFileSync(join(target, 'new'), ''), /EROFS/);
});

test('the root of a container asks for its label', { skip }, async (t) => {
  const { source, target } = directories(t);
  const [upperDir, workDir] = [`${source}-upper`, `${source}-work`];
  mkdirSync(upperDir);
  mkdirSync(workDir);
  const root = { lowerDirs: [source], upperDir, workDir, target };
  await assert.rejects(mounts.overlay({ ...root, label }), { code: 'EINVAL' });
  await mounts.overlay(root);
  assert.deepEqual(readdirSync(target), ['file']);
});
