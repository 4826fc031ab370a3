import assert from 'node:assert/strict';
import { chown, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { bindMount, mountInfo, unmount } from '@gantry/host';
import { MountPropagation, NamespaceMode } from '@gantry/proto';
import { isCgroupHybrid, leaveHybrid } from './harness/cgroup-mode.ts';
import { hostOf, leaks } from './harness/host.ts';
import { type ImportedImage, importImage } from './harness/image.ts';
import { textOfLog } from './harness/log-text.ts';
import {
  type ContainerConfig,
  ContainerState,
  logPathOf,
  type PodConfig,
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { killServices } from './harness/services.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

// Pods with a user namespace of their own (KEP-127).

const firstId = 700_000;
const range = [{ containerId: 0, hostId: firstId, length: 65_536 }];
const usernsOptions = { mode: NamespaceMode.POD, uids: range, gids: range };
const inUsers = { namespaceOptions: { usernsOptions } };

/** Messages within are written as literals. */
type Fields<T> = Readonly<Partial<Record<keyof T, unknown>>>;

for (const runtime of ['runc', 'crun']) {
  suite(runtime);
}

function suite(runtime: string): void {
  let stack: Stack;
  let hybrid: AsyncDisposable | undefined;
  let image: ImportedImage;
  before(async () => {
    hybrid = runtime === 'crun' && (await isCgroupHybrid()) ? await leaveHybrid() : undefined;
    stack = await startStack({ defaultRuntime: runtime });
    image = await importImage(stack, {
      name: 'users',
      onBusybox: true,
      layers: [
        [
          {
            type: 'file',
            path: 'srv/mine',
            content: 'of 1000\n',
            mode: 0o600,
            uid: 1000,
            gid: 1000,
          },
          { type: 'file', path: 'srv/of-root', content: 'of root\n', mode: 0o600 },
        ],
      ],
      config: { Volumes: { '/srv': {} } },
    });
  });
  after(async () => {
    await stack[Symbol.asyncDispose]();
    await hybrid?.[Symbol.asyncDispose]();
  });

  const named = (what: string) => `${runtime}: ${what}`;
  const userPod = (name: string, more: Fields<PodConfig> = {}): PodConfig =>
    podConfig(stack, name, {
      linux: { securityContext: inUsers },
      hostname: 'users',
      ...more,
    } as Partial<PodConfig>);
  const userContainer = (
    name: string,
    script: string,
    more: Fields<ContainerConfig> = {},
  ): ContainerConfig =>
    shellContainer(name, script, {
      linux: { securityContext: inUsers },
      ...more,
    } as Partial<ContainerConfig>);
  const statusOf = async (containerId: string) => {
    const { status } = await stack.runtime.containerStatus({ containerId });
    assert.ok(status);
    return status;
  };
  async function outputOf(pod: RunningPod, config: ContainerConfig): Promise<string> {
    const containerId = await startContainer(stack, pod, config);
    await until(
      'its end',
      () => statusOf(containerId),
      (s) => s.state === ContainerState.CONTAINER_EXITED,
    );
    const log = await readFile(logPathOf(pod, config), 'utf8');
    return textOfLog(log);
  }

  test(named('Status tells that it can'), async () => {
    const { runtimeHandlers, features } = await stack.runtime.status({});
    const handler = runtimeHandlers.find((h) => h.name === runtime);
    assert.equal(handler?.features?.userNamespaces, true);
    assert.equal(features?.userNamespacesHostNetwork, true);
  });

  test(named('root of a pod is another user outside, and root of its own namespaces'), async () => {
    const host = await hostOf(stack);
    const pod = await runPod(stack, userPod('users'));
    const { status } = await stack.runtime.podSandboxStatus(pod);
    assert.ok(status?.network?.ip.startsWith(stack.addressPrefix));
    assert.deepEqual(
      status?.linux?.namespaces?.options?.usernsOptions?.uids.map((m) => m.hostId),
      [firstId],
    );
    const script = [
      'cat /proc/self/uid_map /proc/self/gid_map',
      'id -u; touch /new && stat -c "%u:%g" /new /bin/busybox /etc/passwd',
      'stat -c "%u %n" /dev/shm /etc/hosts /etc/resolv.conf /etc/hostname',
      'ip link set lo mtu 1400; ip -o link show lo; hostname',
      'echo x > /dev/shm/file && echo shm',
      'mkdir /t && mount -t tmpfs t /t 2>&1 | head -1',
      'echo 1 > /proc/sys/kernel/panic; sleep 1000',
    ].join('; ');
    const config = userContainer('root', script, {
      linux: {
        securityContext: { ...inUsers, capabilities: { addCapabilities: ['NET_ADMIN'] } },
      },
    });
    const containerId = await startContainer(stack, pod, config);
    const words = await until(
      'its words',
      () => readFile(logPathOf(pod, config), 'utf8').catch(() => ''),
      (log) => /panic/.test(log) && / F shm\n/.test(log),
    );
    const text = words.replace(/^\S+ std(out|err) F /gm, '');
    assert.match(text, /^\s*0\s+700000\s+65536\n\s*0\s+700000\s+65536\n0\n0:0\n0:0\n0:0\n/);
    for (const path of ['/dev/shm', '/etc/hosts', '/etc/resolv.conf', '/etc/hostname']) {
      assert.match(text, new RegExp(`^0 ${path}$`, 'm'));
    }
    assert.match(text, /mtu 1400/);
    assert.match(text, /^users$/m);
    assert.match(text, /^shm$/m);

    const exec = await stack.runtime.execSync({
      containerId,
      cmd: ['/bin/sh', '-c', 'id -u; cat /proc/self/uid_map'],
      timeout: 10n,
    });
    assert.match(Buffer.from(exec.stdout).toString(), /^0\n\s+0\s+700000\s+65536\n$/);
    const { info } = await stack.runtime.containerStatus({ containerId, verbose: true });
    const { pid } = JSON.parse(info['info'] ?? '{}') as { pid: number };
    const outside = await readFile(`/proc/${pid}/status`, 'utf8');
    assert.match(outside, /^Uid:\s+700000\s+700000/m);

    killServices(stack, 'sandbox-service');
    await until(
      'the next sandbox-service',
      () =>
        statusOf(containerId).then(
          () => true,
          () => false,
        ),
      Boolean,
    );
    const again = await stack.runtime.execSync({ containerId, cmd: ['true'], timeout: 10n });
    assert.equal(again.exitCode, 0);
    await removePod(stack, pod.podSandboxId);
    assert.deepEqual(leaks(host, await hostOf(stack)), []);
  });

  test(named('the null device of the host stays with root'), async () => {
    const pod = await runPod(stack, userPod('null'));
    const securityContext = { ...inUsers, runAsUser: { value: 1234n } };
    const config = userContainer('c', 'sleep 1000', { linux: { securityContext } });
    const containerId = await startContainer(stack, pod, config);
    await stack.runtime.execSync({ containerId, cmd: ['cat'], timeout: 10n });
    const { uid, gid } = await stat('/dev/null');
    await removePod(stack, pod.podSandboxId);
    assert.deepEqual([uid, gid], [0, 0]);
  });

  test(named('files of the image and its VOLUMEs have the owners that they should'), async () => {
    const host = await hostOf(stack);
    const pod = await runPod(stack, userPod('owners'));
    const config = userContainer(
      'owners',
      'stat -c "%u:%g %n" /srv/mine /srv/of-root; cat /srv/mine',
      {
        image: { image: image.name },
        linux: {
          securityContext: {
            ...inUsers,
            runAsUser: { value: 1000n },
            runAsGroup: { value: 1000n },
          },
        },
      },
    );
    assert.equal(await outputOf(pod, config), '1000:1000 /srv/mine\n0:0 /srv/of-root\nof 1000\n');
    await removePod(stack, pod.podSandboxId);
    assert.deepEqual(leaks(host, await hostOf(stack)), []);
  });

  test(
    named('volumes are shown with mapped ids, and let go as soon as the container runs'),
    async () => {
      const host = await hostOf(stack);
      const directory = join(stack.dir, 'volume');
      await mkdir(join(directory, 'sub'), { recursive: true });
      await writeFile(join(directory, 'of-root'), 'root\n', { mode: 0o600 });
      await writeFile(join(directory, 'of-1000'), 'user\n', { mode: 0o600 });
      await chown(join(directory, 'of-1000'), 1000, 1000);
      const file = join(stack.dir, 'files/single');
      await mkdir(dirname(file));
      await writeFile(file, 'single\n', { mode: 0o600 });
      // A mount below the volume comes along.
      await bindMount({ source: dirname(file), target: join(directory, 'sub') });
      const pod = await runPod(stack, userPod('volumes'));
      // crun 1.8 leaves mounts below a volume out of pods with a user namespace, mapped or not.
      const submount = runtime === 'crun' ? '' : '/data/sub/single';
      const mapped = { uidMappings: range, gidMappings: range };
      const config = userContainer(
        'volumes',
        `stat -c "%u:%g %n" /data/of-root /data/of-1000 /single ${submount}; cat /data/of-root /single; touch /data/new /ro/new; touch /image/new; stat -c %u /image/srv/mine; sleep 1000`,
        {
          mounts: [
            { containerPath: '/data', hostPath: directory, ...mapped },
            { containerPath: '/single', hostPath: file, ...mapped },
            { containerPath: '/ro', hostPath: directory, readonly: true, ...mapped },
            { containerPath: '/image', image: { image: image.name }, readonly: true, ...mapped },
          ],
        },
      );
      const containerId = await startContainer(stack, pod, config);
      const words = await until(
        'its words',
        () => readFile(logPathOf(pod, config), 'utf8').catch(() => ''),
        // conmon reads each output when it comes to it.
        (log) => / F 1000\n/.test(log) && /\/image\/new: /.test(log),
      );
      const text = words.replace(/^\S+ std(out|err) F /gm, '');
      assert.match(
        text,
        /^0:0 \/data\/of-root\n1000:1000 \/data\/of-1000\n0:0 \/single\n(0:0 \/data\/sub\/single\n)?root\nsingle\n/,
      );
      assert.equal(text.includes('0:0 /data/sub/single\n'), submount !== '');
      assert.match(text, /\/ro\/new: Read-only file system/);
      assert.match(text, /\/image\/new: Read-only file system/);
      assert.equal((await stat(join(directory, 'new'))).uid, 0);
      // The host's mounts of it are as they were: it can be taken away.
      const ours = (await mountInfo()).filter((m) =>
        m.mountPoint.startsWith(join(stack.stateDir, 'mounts')),
      );
      assert.deepEqual(
        ours.map((m) => m.mountPoint.replace(/.*\//, '')),
        ['3'],
      );
      await unmount(join(directory, 'sub'));
      await stack.runtime.stopContainer({ containerId, timeout: 0n });
      await removePod(stack, pod.podSandboxId);
      assert.equal(await readFile(join(directory, 'of-root'), 'utf8'), 'root\n');
      assert.deepEqual(leaks(host, await hostOf(stack)), []);
    },
  );

  test(
    named('ids of a volume are mapped as asked for also where the pod has no such users'),
    async () => {
      const host = await hostOf(stack);
      const directory = join(stack.dir, `plain-${runtime}`);
      await mkdir(directory);
      await writeFile(join(directory, 'file'), 'x');
      await chown(join(directory, 'file'), 5, 6);
      const pod = await runPod(stack, podConfig(stack, 'no-users'));
      const ids = (hostId: number) => [{ containerId: 0, hostId, length: 1000 }];
      const config = shellContainer(
        'mapped',
        'stat -c "%u:%g" /data/file; touch /data/new || true',
        {
          mounts: [
            {
              containerPath: '/data',
              hostPath: directory,
              uidMappings: ids(20_000),
              gidMappings: ids(30_000),
            },
          ],
        } as Partial<ContainerConfig>,
      );
      assert.match(await outputOf(pod, config), /^20005:30006\n.*\/data\/new: /);
      await removePod(stack, pod.podSandboxId);
      assert.deepEqual(leaks(host, await hostOf(stack)), []);
    },
  );

  test(named('on the network of the host a pod can have users of its own too'), async () => {
    const host = await hostOf(stack);
    const namespaceOptions = { usernsOptions, network: NamespaceMode.NODE };
    const pod = await runPod(
      stack,
      userPod('host-network', { linux: { securityContext: { namespaceOptions } }, hostname: '' }),
    );
    const config = userContainer(
      'c',
      'cat /proc/self/uid_map; ip link set lo mtu 1400; ls /sys/class/net',
      {
        linux: {
          securityContext: { namespaceOptions, capabilities: { addCapabilities: ['NET_ADMIN'] } },
        },
      },
    );
    const text = await outputOf(pod, config);
    assert.match(text, /^\s+0\s+700000\s+65536\n/);
    assert.match(text, /not permitted/);
    assert.match(text, /^lo$/m);
    await removePod(stack, pod.podSandboxId);
    assert.deepEqual(leaks(host, await hostOf(stack)), []);
  });

  test(named('what no pod can have is refused, and nothing is left'), async () => {
    const host = await hostOf(stack);
    const options = (more: object) => ({
      linux: {
        securityContext: { namespaceOptions: { usernsOptions: { ...usernsOptions, ...more } } },
      },
    });
    const map = (containerId: number, hostId: number, length: number) => ({
      containerId,
      hostId,
      length,
    });
    for (const [more, message] of [
      [{ mode: NamespaceMode.NODE }, /NODE takes no mappings/],
      [{ mode: NamespaceMode.CONTAINER }, /only modes POD and NODE/],
      [{ mode: NamespaceMode.TARGET }, /only modes POD and NODE/],
      [{ uids: [] }, /uids: one mapping is needed/],
      [{ gids: [...range, map(70_000, 1_000_000, 10)] }, /gids: one mapping is needed/],
      [{ uids: [map(0, 100_000, 0)] }, /from 0 up/],
      [{ uids: [map(1, 100_000, 10)] }, /from 0 up/],
      [{ uids: [map(0, 4_294_967_000, 65_536)] }, /beyond the last id/],
      [{ uids: [map(0, 1, 4_294_967_295)] }, /beyond the last id/],
    ] as const) {
      await assert.rejects(
        runPod(stack, userPod('refused', options(more))),
        (error: Error & { kind?: string }) => {
          assert.equal(error.kind, 'invalid-argument', error.message);
          assert.match(error.message, message);
          return true;
        },
      );
    }
    const pod = await runPod(stack, userPod('plain'));
    const other = [map(0, 900_000, 65_536)];
    for (const [config, kind, message] of [
      [
        userContainer('none', 'true', { linux: { securityContext: { namespaceOptions: {} } } }),
        'invalid-argument',
        /not the same as the pod's/,
      ],
      [
        userContainer('other', 'true', options({ uids: other })),
        'invalid-argument',
        /not the same as the pod's/,
      ],
      [
        userContainer('half', 'true', {
          mounts: [{ containerPath: '/d', hostPath: '/tmp', uidMappings: range }],
        }),
        'invalid-argument',
        /mappings of users and groups/,
      ],
      [
        userContainer('twice', 'true', {
          mounts: [
            {
              containerPath: '/d',
              hostPath: '/tmp',
              uidMappings: [map(0, 1000, 10), map(5, 2000, 10)],
              gidMappings: range,
            },
          ],
        }),
        'invalid-argument',
        /mapped twice/,
      ],
    ] as const) {
      await assert.rejects(
        stack.runtime.createContainer({ podSandboxId: pod.podSandboxId, config }),
        (error: Error & { kind?: string }) => {
          assert.equal(error.kind, kind, error.message);
          assert.match(error.message, message);
          return true;
        },
      );
    }
    for (const [mount, message] of [
      [{ hostPath: '/proc' }, /ids of \/proc on \S+: its file system can not map ids/],
      [
        { hostPath: '/tmp', propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL },
        /can not reach the host|not a shared mount/,
      ],
    ] as const) {
      const config = userContainer(`start-${mount.hostPath.slice(1)}`, 'true', {
        mounts: [{ containerPath: '/d', ...mount, uidMappings: range, gidMappings: range }],
      });
      await assert.rejects(startContainer(stack, pod, config), (error: Error) => {
        assert.match(error.message, message);
        return true;
      });
    }
    await removePod(stack, pod.podSandboxId);
    assert.deepEqual(leaks(host, await hostOf(stack)), []);
  });
}
