import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { OciSpec } from '@gantry/oci';
import { MountSchema, SecurityProfile_ProfileType as ProfileType } from '@gantry/proto';
import { capabilitiesOfMask, containerSpec, namespacesOfPid, pauseSpec } from './index.ts';
import { kernelVersionOf } from './kernel-version.ts';
import type { ContainerSpecInput, HostFacts } from './spec-input.ts';
import {
  type ContainerInit,
  containerInput,
  pauseInput,
  plainHost,
  plainSandbox,
} from './testing.ts';

// What runc and the kernel make of the specs: a pause container, and containers of its pod.

const hasTools = ['runc', 'busybox'].every((t) => spawnSync(t, ['--help']).error === undefined);
const skip = process.getuid?.() !== 0 ? 'needs root' : !hasTools && 'needs runc and busybox';

const hostNow = (): HostFacts => ({
  ...plainHost,
  kernel: kernelVersionOf(readFileSync('/proc/sys/kernel/osrelease', 'utf8')) ?? plainHost.kernel,
  arch: process.arch,
  cgroupVersion: readdirSync('/sys/fs/cgroup').includes('cgroup.controllers') ? 2 : 1,
  hugepageSizes: [],
  capabilities: capabilitiesOfMask(
    /CapPrm:\s*(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0',
  ),
  lowestOomScoreAdj: Number(readFileSync('/proc/self/oom_score_adj', 'utf8')),
  maxOpenFiles: 1024,
  devices: [{ type: 'c', path: '/dev/kmsg', major: 1, minor: 11, fileMode: 0o644 }],
});

/** A pod with its pause container running; `run` runs a script in a container of it. */
function startPod(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-spec-'));
  const parent = `/gantry-test-${randomBytes(6).toString('hex')}`;
  const runc = (...args: string[]) =>
    spawnSync('runc', ['--root', join(dir, 'state'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
      timeout: 30_000,
    });
  t.after(() => {
    runc('delete', '--force', 'pause');
    removeCgroups(parent);
    rmSync(dir, { recursive: true, force: true });
  });
  makeRoot(join(dir, 'rootfs'));
  mkdirSync(join(dir, 'shm'));
  for (const file of ['hosts', 'hostname', 'resolv.conf']) {
    writeFileSync(join(dir, file), `${file} of the pod\n`);
  }
  const bundle = (name: string, spec: OciSpec): string => {
    mkdirSync(join(dir, name));
    writeFileSync(join(dir, name, 'config.json'), JSON.stringify(spec));
    return join(dir, name);
  };

  const host = hostNow();
  const rootPath = join(dir, 'rootfs');
  const sandbox = plainSandbox(
    { linux: { securityContext: { privileged: true, seccomp: {} } } },
    {
      cgroupParent: parent,
      namespaces: {},
      hostnamePath: join(dir, 'hostname'),
      hostsPath: join(dir, 'hosts'),
      resolvConfPath: join(dir, 'resolv.conf'),
      shmPath: join(dir, 'shm'),
    },
  );
  const input = pauseInput({ host, rootPath, openFiles: 1 << 20, sandbox });
  const image = { ...input.image, user: '65535:65535', entrypoint: ['/bin/sleep'], cmd: ['1000'] };
  const pidFile = join(dir, 'pid');
  const pause = bundle('pause-bundle', pauseSpec({ ...input, image }));
  // Not through a pipe, which the pause process would hold open.
  execFileSync(
    'runc',
    [
      '--root',
      join(dir, 'state'),
      'run',
      '--detach',
      '--bundle',
      pause,
      '--pid-file',
      pidFile,
      'pause',
    ],
    { stdio: 'ignore' },
  );
  const { user: _, ...namespaces } = namespacesOfPid(Number(readFileSync(pidFile, 'utf8')));

  let count = 0;
  const run = (
    script: string,
    config: ContainerInit = {},
    changes: Partial<ContainerSpecInput> = {},
  ) => {
    count += 1;
    const id = `c${count}`;
    const spec = containerSpec(
      containerInput(
        { command: ['/bin/sh', '-c', script], ...config },
        { host, id, rootPath, openFiles: 1 << 20, sandbox: { ...sandbox, namespaces }, ...changes },
      ),
    );
    const { status, stdout, stderr } = runc('run', '--bundle', bundle(id, spec), id);
    return { status, lines: stdout.trim().split('\n'), stderr };
  };
  return { run, dir };
}

const seccomp = { profileType: ProfileType.RuntimeDefault };

test('a container of a pod under the default profile', { skip }, (t) => {
  const { run } = startPod(t);
  const { status, lines, stderr } = run(
    `id -u; id -g; id -G; hostname; cat /etc/hosts; pwd; ulimit -n
     grep Seccomp: /proc/self/status | tr -d '[:space:]'; echo
     cat /proc/self/oom_score_adj; echo $GREETING
     mount -t tmpfs x /tmp 2>/dev/null || echo no mount
     unshare -n true 2>/dev/null || echo no unshare
     chroot / /bin/true && echo chroot
     (echo x > /proc/sys/kernel/domainname) 2>/dev/null || echo no sysctl
     cat /proc/sys/net/ipv4/ip_unprivileged_port_start
     touch /dev/shm/seen; exit 7`,
    {
      envs: [{ key: 'GREETING', value: new TextEncoder().encode('hello') }],
      linux: {
        securityContext: {
          seccomp,
          runAsUser: { value: 0n },
          runAsGroup: { value: 5n },
          supplementalGroups: [6n],
          maskedPaths: ['/proc/kcore', '/proc/timer_list'],
          readonlyPaths: ['/proc/sys'],
        },
        resources: { memoryLimitInBytes: 64n << 20n, cpuShares: 256n, oomScoreAdj: 500n },
      },
    },
  );
  assert.equal(stderr, '');
  assert.deepEqual(lines, [
    '0',
    '5',
    '5 6',
    'web',
    'hosts of the pod',
    '/srv',
    '1024',
    'Seccomp:2',
    '500',
    'hello',
    'no mount',
    'no unshare',
    'chroot',
    'no sysctl',
    '0',
  ]);
  assert.equal(status, 7);
});

test('a privileged container may do what the others may not', { skip }, (t) => {
  const { run } = startPod(t);
  const plain = run("grep ' /sys ' /proc/mounts | cut -c1-19");
  assert.deepEqual(plain.lines, ['sysfs /sys sysfs ro']);
  const { status, lines } = run(
    `mount -t tmpfs x /tmp && echo mount
     grep Seccomp: /proc/self/status | tr -d '[:space:]'; echo
     ls -l /dev/kmsg | cut -c1
     grep ' /sys ' /proc/mounts | cut -c1-19`,
    { linux: { securityContext: { privileged: true, seccomp } } },
  );
  assert.deepEqual(lines, ['mount', 'Seccomp:0', 'c', 'sysfs /sys sysfs rw']);
  assert.equal(status, 0);
});

test('mounts of the request, read-only roots and users without capabilities', { skip }, (t) => {
  const { run, dir } = startPod(t);
  mkdirSync(join(dir, 'data'));
  writeFileSync(join(dir, 'data', 'file'), 'data\n');
  const data = (containerPath: string, readonly: boolean) => ({
    request: create(MountSchema, { containerPath, readonly }),
    source: join(dir, 'data'),
  });
  const { lines } = run(
    `cat /data/ro/file; touch /data/ro/x 2>/dev/null || echo ro; touch /data/rw/x && echo rw
     touch /x 2>/dev/null || echo root is ro; cat /etc/hostname
     grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status | tr -d '[:space:]'; echo`,
    {
      linux: {
        securityContext: {
          readonlyRootfs: true,
          noNewPrivs: true,
          capabilities: { dropCapabilities: ['ALL'], addCapabilities: ['KILL'] },
        },
      },
    },
    { mounts: [data('/data/rw', false), data('/data/ro', true)] },
  );
  assert.deepEqual(lines, [
    'data',
    'ro',
    'rw',
    'root is ro',
    'hostname of the pod',
    'CapEff:0000000000000020CapBnd:0000000000000020NoNewPrivs:1',
  ]);
});

function makeRoot(root: string): void {
  const directories = ['bin', 'proc', 'dev', 'sys', 'tmp', 'etc', 'srv', 'data/rw', 'data/ro'];
  for (const directory of directories) {
    mkdirSync(join(root, directory), { recursive: true });
  }
  const busybox = execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim();
  const listed = spawnSync('ldd', [busybox], { encoding: 'utf8' }).stdout;
  for (const library of listed.match(/\/\S+/g) ?? []) {
    mkdirSync(join(root, dirname(library)), { recursive: true });
    copyFileSync(library, join(root, library));
  }
  copyFileSync(busybox, join(root, 'bin/busybox'));
  const applets =
    'cat chroot cut echo grep hostname id ls mount pwd sh sleep touch tr true unshare'.split(' ');
  for (const applet of applets) {
    symlinkSync('busybox', join(root, 'bin', applet));
  }
}

/** The runtime removes a container's cgroups and leaves their parent. */
function removeCgroups(parent: string): void {
  const roots = [
    '/sys/fs/cgroup',
    ...readdirSync('/sys/fs/cgroup').map((n) => `/sys/fs/cgroup/${n}`),
  ];
  for (const root of roots) {
    try {
      rmdirSync(join(root, parent));
    } catch {
      // Not in this hierarchy.
    }
  }
}
