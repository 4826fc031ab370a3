import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { run } from '@gantry/host';
import {
  configureSelinux,
  containerPolicyScript,
  labelCommand,
  policyTools,
} from './selinux-policy.ts';

/** What the machine is made of; a change makes it anew. */
const suite = 'bookworm';
const packages = [
  ...['systemd', 'systemd-sysv', 'dbus', 'udev', 'kmod', 'linux-image-amd64', 'initramfs-tools'],
  ...['iproute2', 'iptables', 'procps', 'ca-certificates'],
  ...['runc', 'crun', 'conmon', 'containernetworking-plugins', 'nats-server', 'catatonit'],
  'criu',
  // critest calls sudo to load its profiles.
  ...['apparmor', 'sudo'],
  ...['selinux-policy-default', 'policycoreutils', 'selinux-utils', ...policyTools],
];
/** Tools of the developer that nothing in the machine runs. */
const leftOut = ['@biomejs', '@bufbuild/buf*', '@nx', 'nx', '@oxlint*', 'oxlint*', '@typescript'];

/** Fills the cache that ./gantry uses; the mount of /proc ends with the namespace. */
const warmScript = `mount -t proc proc /proc && cd /opt/gantry && NODE_COMPILE_CACHE=$PWD/node_modules/.cache/compile node_modules/.bin/node --disable-warning=ExperimentalWarning tests-e2e/vm/inside/warm.ts`;

const installMs = 20 * 60_000;

/** A bootable Debian with this checkout in /opt/gantry. */
export interface Disk {
  readonly image: string;
  readonly kernel: string;
  readonly initrd: string;
}

/**
 * Makes the disk in `dir`. The plain Debian is kept in the user's cache. `files` are
 * copied to the machine, directories with all in them, by their path there.
 */
export async function buildDisk(
  dir: string,
  repository: string,
  files: Readonly<Record<string, string>>,
): Promise<Disk> {
  const debian = await debianRoot();
  const root = join(dir, 'root');
  await must('cp', ['-a', '--reflink=auto', debian, root]);
  await copyCheckout(repository, join(root, 'opt/gantry'));
  for (const [path, source] of Object.entries(files)) {
    await cp(source, join(root, path), { recursive: true });
  }
  await configure(root);
  await must('unshare', ['--mount', 'chroot', root, 'sh', '-c', warmScript]);
  const [label = '', ...labelArgs] = labelCommand(root);
  await must(label, labelArgs);
  const disk = {
    image: join(dir, 'disk.img'),
    kernel: join(dir, 'vmlinuz'),
    initrd: join(dir, 'initrd.img'),
  };
  await cp(bootFile(root, 'vmlinuz-*'), disk.kernel);
  await cp(bootFile(root, 'initrd.img-*'), disk.initrd);
  await must('mke2fs', ['-q', '-t', 'ext4', '-d', root, '-L', 'root', disk.image, '6G']);
  await rm(root, { recursive: true });
  return disk;
}

async function debianRoot(): Promise<string> {
  const recipe = createHash('sha256')
    .update([suite, ...packages, containerPolicyScript].join(' '))
    .digest('hex');
  const cache = join(homedir(), '.cache/gantry-tests');
  const root = join(cache, `vm-${recipe.slice(0, 12)}`);
  if (!existsSync(root)) {
    await mkdir(cache, { recursive: true });
    const unfinished = `${root}.unfinished`;
    await rm(unfinished, { recursive: true, force: true });
    await must('debootstrap', [
      '--variant=minbase',
      `--include=${packages.join(',')}`,
      suite,
      unfinished,
      mirror(),
    ]);
    await must('chroot', [unfinished, 'sh', '-c', containerPolicyScript]);
    await must('chroot', [unfinished, 'apt-get', 'clean']);
    await rename(unfinished, root);
  }
  return root;
}

/** Where this host gets its own packages from. */
function mirror(): string {
  const files = globSync(['/etc/apt/sources.list', '/etc/apt/sources.list.d/*.{list,sources}']);
  const lines = files.flatMap((file) => readFileSync(file, 'utf8').split('\n'));
  const uris = lines.flatMap((line) => {
    const [, uri] = /^(?:URIs:|deb (?:\[[^\]]*\] )?)\s*(\S+\/debian\/?)(?:\s|$)/.exec(line) ?? [];
    return uri === undefined ? [] : [uri];
  });
  const [first] = uris;
  if (first === undefined) {
    throw new Error('no Debian mirror in /etc/apt/sources.list or sources.list.d');
  }
  return first;
}

async function copyCheckout(repository: string, target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  const excluded = leftOut.map((name) => `--exclude=./node_modules/${name}`);
  const pack = ['tar', '-C', repository, '--exclude=./.git', '--exclude=./.nx', ...excluded];
  const command = [...pack, '-cf', '-', '.', '|', 'tar', '-C', target, '-xf', '-'].join(' ');
  await must('sh', ['-c', command]);
}

async function configure(root: string): Promise<void> {
  const inside = '/opt/gantry/tests-e2e/vm/inside';
  await writeFile(join(root, 'etc/fstab'), '/dev/vda / ext4 defaults,noatime 0 1\n');
  await writeFile(join(root, 'etc/hostname'), 'gantry-vm\n');
  await writeFile(
    join(root, 'etc/systemd/system/gantry-test.service'),
    `[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh ${inside}/run.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
[Install]
WantedBy=default.target
`,
  );
  const systemctl = (...args: string[]) => must('chroot', [root, 'systemctl', ...args]);
  await systemctl('enable', 'gantry-test.service');
  // A login prompt hangs up whoever has the console.
  await systemctl('mask', 'serial-getty@ttyS0.service');
  await configureSelinux(root);
}

function bootFile(root: string, pattern: string): string {
  const [file] = globSync(join(root, 'boot', pattern));
  if (file === undefined) {
    throw new Error(`${basename(root)}: no /boot/${pattern}`);
  }
  return file;
}

async function must(command: string, args: readonly string[]): Promise<void> {
  const { exitCode, stdout, stderr } = await run(command, args, {
    timeoutMs: installMs,
    maxOutputBytes: 1 << 20,
  });
  if (exitCode !== 0) {
    const said = Buffer.concat([stdout, stderr]).toString().slice(-2000);
    throw new Error(`${command} ${args.slice(0, 3).join(' ')} ...: exit ${exitCode}: ${said}`);
  }
}
