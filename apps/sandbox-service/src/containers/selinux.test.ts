import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { messageOf } from '@gantry/errors';
import { selinuxLevelOf } from '@gantry/oci-spec';
import {
  containerConfig,
  type Node,
  newNode,
  podConfig,
  startOn,
  type TestService,
} from '../testing.ts';

const policy = {
  process: 'system_u:system_r:container_t:s0',
  file: 'system_u:object_r:container_file_t:s0',
};

async function startWithSelinux(t: TestContext): Promise<TestService & { readonly node: Node }> {
  const node = { ...(await newNode(t)), selinux: policy };
  const service = await startOn(t, node);
  await service.service.reconciliation.finished;
  return { ...service, node };
}

async function runPod(service: TestService, name: string, level = ''): Promise<string> {
  const config = podConfig(name, { linux: { securityContext: { selinuxOptions: { level } } } });
  const { podSandboxId } = await service.call('runPodSandbox', { config });
  return podSandboxId;
}

const levelOfPod = ({ world }: TestService, id: string): string =>
  selinuxLevelOf(world.records.sandboxes.get(id).facts.selinux?.process ?? '');

test('each pod has a level of its own, also after a restart, until it is removed', async (t) => {
  const first = await startWithSelinux(t);
  const ids = [await runPod(first, 'a'), await runPod(first, 'b', 's0:c1,c2')];
  first.crash();
  const second = await startOn(t, first.node);
  await second.service.reconciliation.finished;
  ids.push(await runPod(second, 'c'));
  const levels = ids.map((id) => levelOfPod(second, id));
  assert.equal(new Set(levels).size, 3, levels.join(' '));
  assert.equal(levels[1], 's0:c1,c2');
  for (const level of levels) {
    assert.match(level, /^s0:c\d+,c\d+$/);
  }
});

test('what is mounted and made for a pod and its containers has their label', async (t) => {
  const service = await startWithSelinux(t);
  const { world, node } = service;
  const { paths } = world;
  const pod = await runPod(service, 'a', 's0:c3,c4');
  const own = 'system_u:object_r:container_file_t:s0:c3,c4';
  const shared = 'system_u:object_r:container_file_t:s0';
  const volume = join(node.directory, 'volume');
  await mkdir(volume);
  const { containerId } = await service.call('createContainer', {
    podSandboxId: pod,
    config: containerConfig('main', {
      mounts: [
        { hostPath: volume, containerPath: '/v', selinuxRelabel: true },
        { hostPath: node.directory, containerPath: '/w' },
      ],
    }),
  });
  assert.deepEqual(Object.fromEntries(node.host.labels), {
    [join(paths.sandbox(pod), 'hostname')]: shared,
    [join(paths.sandbox(pod), 'hosts')]: shared,
    [join(paths.sandbox(pod), 'resolv.conf')]: shared,
    [paths.shm(pod)]: own,
    [paths.rootfs(pod)]: own,
    [paths.rootfs(containerId)]: own,
    [volume]: own,
  });
});

test('a level of its own is for a container, and not for its pod', async (t) => {
  const service = await startWithSelinux(t);
  const pod = await runPod(service, 'a', 's0:c3,c4');
  const { containerId } = await service.call('createContainer', {
    podSandboxId: pod,
    config: containerConfig('main', {
      linux: { securityContext: { selinuxOptions: { level: 's0:c9', type: 'x_t' } } },
    }),
  });
  const { labels } = service.node.host;
  const { paths } = service.world;
  assert.equal(labels.get(paths.rootfs(containerId)), 'system_u:object_r:container_file_t:s0:c9');
  assert.equal(levelOfPod(service, pod), 's0:c3,c4');
});

test('a relabel that would take from the host what it lives on is refused, and nothing is left', async (t) => {
  const service = await startWithSelinux(t);
  const pod = await runPod(service, 'a');
  for (const hostPath of ['/etc', '/usr/share', '/', '/var/lib/..']) {
    const before = service.node.host.calls.length;
    await assert.rejects(
      service.call('createContainer', {
        podSandboxId: pod,
        config: containerConfig('main', {
          mounts: [{ hostPath, containerPath: '/v', selinuxRelabel: true }],
        }),
      }),
      (error) => /selinux_relabel of .* would take it from the host/.test(messageOf(error)),
      hostPath,
    );
    const calls = service.node.host.calls.slice(before);
    assert.ok(!calls.some((call) => call.startsWith('mounts.relabel')), calls.join('\n'));
  }
  const { containers } = await service.call('listContainers', {});
  assert.deepEqual(containers, []);
});

test('a label that the policy does not have is refused, and leaves nothing', async (t) => {
  const service = await startWithSelinux(t);
  const unknown = { selinuxOptions: { type: 'unknown_t' } };
  const refused = (error: unknown) =>
    /selinux_options: the policy of this host has no system_u:system_r:unknown_t:s0:/.test(
      messageOf(error),
    );
  const config = podConfig('a', { linux: { securityContext: unknown } });
  await assert.rejects(service.call('runPodSandbox', { config }), refused);
  assert.deepEqual((await service.call('listPodSandbox', {})).items, []);

  const podSandboxId = await runPod(service, 'a');
  const create = (linux: object) =>
    service.call('createContainer', { podSandboxId, config: containerConfig('main', { linux }) });
  await assert.rejects(create({ securityContext: unknown }), refused);
  assert.deepEqual((await service.call('listContainers', {})).containers, []);
  await create({});
});

test('where SELinux is off nothing has a label', async (t) => {
  const node = await newNode(t);
  const service = await startOn(t, node);
  await service.service.reconciliation.finished;
  const pod = await runPod(service, 'a', 's0:c3,c4');
  await service.call('createContainer', {
    podSandboxId: pod,
    config: containerConfig('main', {
      mounts: [{ hostPath: node.directory, containerPath: '/v', selinuxRelabel: true }],
    }),
  });
  assert.deepEqual([...node.host.labels], []);
});

test('a level that is none is refused before anything is made, with SELinux or without', async (t) => {
  for (const service of [await startWithSelinux(t), await startOn(t, await newNode(t))]) {
    await service.service.reconciliation.finished;
    await assert.rejects(runPod(service, 'a', 's0,c1'), (error) =>
      messageOf(error).includes('selinux_options: "s0,c1" is no level'),
    );
    const { items } = await service.call('listPodSandbox', {});
    assert.deepEqual(items, []);
  }
});
