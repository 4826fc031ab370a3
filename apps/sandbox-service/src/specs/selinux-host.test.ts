import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readSelinuxHost } from './selinux-host.ts';

async function hostWith(t: TestContext, files: Record<string, string>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'gantry-selinux-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return root;
}

// As Fedora 40 and its container-selinux have them, but for comments.
const config = `# This file controls the state of SELinux on the system.
#     SELINUX=disabled is not what it says
SELINUX=enforcing
# SELINUXTYPE= can take one of these three values:
SELINUXTYPE=targeted
`;
const contexts = `process = "system_u:system_r:container_t:s0"
content = "system_u:object_r:virt_var_lib_t:s0"
file = "system_u:object_r:container_file_t:s0"
ro_file="system_u:object_r:container_ro_file_t:s0"
sandbox_kvm_process = "system_u:system_r:svirt_qemu_net_t:s0"
sandbox_lxc_process = "system_u:system_r:container_t:s0"
`;
const policy = {
  process: 'system_u:system_r:container_t:s0',
  file: 'system_u:object_r:container_file_t:s0',
};
const enforce = 'sys/fs/selinux/enforce';
/** A kernel whose policy has containers. */
const isKnown = (label: string) => Promise.resolve(/:container_(file_)?t:/.test(label));

test('without selinuxfs SELinux is off, whatever files of a policy there are', async (t) => {
  const root = await hostWith(t, {
    'etc/selinux/config': config,
    'etc/selinux/targeted/contexts/lxc_contexts': contexts,
  });
  assert.deepEqual(await readSelinuxHost({ root, isKnown }), { isOn: false });
});

for (const mode of ['1', '0']) {
  test(`labels are those of the policy in force (enforce ${mode})`, async (t) => {
    const root = await hostWith(t, {
      [enforce]: mode,
      'etc/selinux/config': config.replace('SELINUXTYPE=targeted', 'SELINUXTYPE=mls'),
      'etc/selinux/targeted/contexts/lxc_contexts': contexts.replaceAll('container_', 'wrong_'),
      'etc/selinux/mls/contexts/lxc_contexts': contexts,
    });
    assert.deepEqual(await readSelinuxHost({ root, isKnown }), { isOn: true, policy });
  });
}

test('the labels of container-selinux go before those of a policy', async (t) => {
  const root = await hostWith(t, {
    [enforce]: '1',
    'etc/selinux/config': config,
    'usr/share/containers/selinux/contexts': contexts,
    'etc/selinux/targeted/contexts/lxc_contexts': contexts.replaceAll('container_', 'svirt_lxc_'),
  });
  assert.deepEqual(await readSelinuxHost({ root, isKnown }), { isOn: true, policy });
});

test('a policy without containers has no labels for them', async (t) => {
  const root = await hostWith(t, {
    [enforce]: '1',
    'etc/selinux/config': config,
    'etc/selinux/targeted/contexts/lxc_contexts': 'content = "a:b:c:s0"\n',
  });
  const { policy: found, problem } = await readSelinuxHost({ root, isKnown });
  assert.equal(found, undefined);
  assert.match(problem ?? '', /^no labels of containers in .*lxc_contexts$/);
});

// Debian 12: selinux-policy-default has the file, and no module `container`.
for (const unknown of ['container_t', 'container_file_t']) {
  test(`labels that the loaded policy does not know are none: ${unknown}`, async (t) => {
    const root = await hostWith(t, {
      [enforce]: '1',
      'etc/selinux/config': config,
      'etc/selinux/targeted/contexts/lxc_contexts': contexts,
    });
    const {
      isOn,
      policy: found,
      problem,
    } = await readSelinuxHost({
      root,
      isKnown: (label) => Promise.resolve(!label.includes(unknown)),
    });
    assert.ok(isOn);
    assert.equal(found, undefined);
    assert.match(
      problem ?? '',
      new RegExp(`lxc_contexts names \\S+:${unknown}:s0, which the policy does not know$`),
    );
  });
}

test('without a config the policy is the targeted one', async (t) => {
  const root = await hostWith(t, {
    [enforce]: '1',
    'etc/selinux/targeted/contexts/lxc_contexts': contexts,
  });
  assert.deepEqual(await readSelinuxHost({ root, isKnown }), { isOn: true, policy });
});
