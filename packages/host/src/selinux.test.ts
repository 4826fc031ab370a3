import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { containerLabelFiles, isKnownLabel, selinuxMode } from './index.ts';

function rootWith(t: TestContext, files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'gantry-selinux-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

for (const [mode, files] of [
  ['off', {}],
  ['permissive', { 'sys/fs/selinux/enforce': '0' }],
  ['enforcing', { 'sys/fs/selinux/enforce': '1' }],
] as const) {
  test(`the mode of SELinux is read where the kernel tells it: ${mode}`, async (t) => {
    assert.equal(await selinuxMode(rootWith(t, files)), mode);
  });
}

test('the kernel is asked for a label by its whole text and a NUL', async (t) => {
  const root = rootWith(t, { 'sys/fs/selinux/context': '' });
  const label = 'system_u:system_r:container_t:s0:c1,c2';
  assert.equal(await isKnownLabel(label, root), true);
  assert.equal(readFileSync(join(root, 'sys/fs/selinux/context'), 'utf8'), `${label}\0`);
});

test('a kernel that can not be asked is an error, not an unknown label', async (t) => {
  await assert.rejects(isKnownLabel('a:b:c:s0', rootWith(t, {})), { code: 'ENOENT' });
});

test('labels of containers are looked for in the common file, then in that of the policy', async (t) => {
  const root = rootWith(t, { 'etc/selinux/config': '# x\nSELINUXTYPE=mls\n' });
  const common = 'usr/share/containers/selinux/contexts';
  assert.deepEqual(
    await containerLabelFiles(root),
    [common, 'etc/selinux/mls/contexts/lxc_contexts'].map((path) => join(root, path)),
  );
  const bare = rootWith(t, {});
  assert.equal(
    (await containerLabelFiles(bare))[1],
    join(bare, 'etc/selinux/targeted/contexts/lxc_contexts'),
  );
});
