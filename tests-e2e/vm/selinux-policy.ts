import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '@gantry/host';

/** What compiles a module of the policy, beside its source. */
export const policyTools = ['checkpolicy', 'semodule-utils', 'm4', 'make', 'zstd'];

/**
 * Debian's policy names the labels of containers, but is built without the module
 * of the reference policy that defines them: it comes from the policy's own source.
 */
export const containerPolicyScript = `set -e
dir=$(mktemp -d)
cd "$dir"
apt-get -q update
apt-get -q -o APT::Sandbox::User=root download selinux-policy-dev selinux-policy-src
for package in *.deb; do dpkg -x "$package" .; done
tar --zstd -xf usr/src/selinux-policy-src.tar.zst
mkdir build
cp selinux-policy-src/policy/modules/services/container.te selinux-policy-src/policy/modules/services/container.fc build
cd build
share="$dir/usr/share/selinux"
make -f "$share/devel/include/Makefile" TYPE=mcs NAME=default SHAREDIR="$share" HEADERDIR="$share/devel/include" container.pp
semodule -n -s default -i container.pp
cd /
rm -rf "$dir"
`;

/**
 * Labels every file of the machine below `root` as its policy says, for the machine
 * itself would take minutes. A kernel without SELinux keeps labels all the same.
 */
export function labelCommand(root: string): readonly string[] {
  // setfiles goes through /proc/self/fd; the mount ends with the namespace.
  const script =
    'mount -t proc proc /proc && setfiles -F -e /proc /etc/selinux/default/contexts/files/file_contexts /';
  return ['unshare', '--mount', 'chroot', root, 'sh', '-c', script];
}

/**
 * What the policy lacks for containers of Gantry where it is enforced. What starts them is permissive: the policy of
 * a whole engine is the distribution's to write, what a container may do is tested here.
 */
const gantryModule = `(typepermissive init_t)
(typepermissive initrc_t)
(typepermissive container_engine_t)
; a container's stdin, stdout and stderr are pipes of conmon
(allow container_domain container_engine_t (fifo_file (ioctl read write getattr lock append)))
(allow container_domain container_engine_t (fd (use)))
`;

/** Permissive unless the kernel is told `enforcing=1`, or a test says so. */
export async function configureSelinux(root: string): Promise<void> {
  await writeFile(
    join(root, 'etc/selinux/config'),
    'SELINUX=permissive\nSELINUXTYPE=default\nSETLOCALDEFS=0\n',
  );
  await writeFile(join(root, 'root/gantry.cil'), gantryModule);
  const install = ['semodule', '-n', '-s', 'default', '-i', '/root/gantry.cil'];
  const { exitCode, stderr } = await run('chroot', [root, ...install], { timeoutMs: 600_000 });
  if (exitCode !== 0) {
    throw new Error(`semodule in the machine: exit ${String(exitCode)}: ${stderr.toString()}`);
  }
}
