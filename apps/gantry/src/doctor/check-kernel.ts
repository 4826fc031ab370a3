import { type Finding, fail, ok, warn } from './finding.ts';
import type { HostFiles } from './host-files.ts';

const namespaces = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts'];

/** What pods need of the kernel. `kernel` is its release, for the list of modules. */
export function checkKernel(files: HostFiles, kernel: string): Finding[] {
  return [
    checkNamespaces(files),
    checkSeccomp(files),
    checkUserNamespaces(files),
    checkModules(files, kernel),
    checkForwarding(files),
    checkBridgeFilter(files),
  ];
}

function checkNamespaces(files: HostFiles): Finding {
  const missing = namespaces.filter((name) => !files.exists(`/proc/self/ns/${name}`));
  return missing.length === 0
    ? ok('namespaces', namespaces.join(', '))
    : fail(
        'namespaces',
        `no ${missing.join(', ')}`,
        'this kernel was built without them: use another',
      );
}

function checkSeccomp(files: HostFiles): Finding {
  const isThere = /^Seccomp:/m.test(files.read('/proc/self/status') ?? '');
  return isThere
    ? ok('seccomp', 'yes')
    : warn(
        'seccomp',
        'no',
        'pods run without system call filters: use a kernel with CONFIG_SECCOMP_FILTER',
      );
}

function checkUserNamespaces(files: HostFiles): Finding {
  const most = Number(files.read('/proc/sys/user/max_user_namespaces') ?? 0);
  return most > 0
    ? ok('user namespaces', `up to ${most}`)
    : warn(
        'user namespaces',
        'none allowed',
        'for pods with hostUsers: false: sysctl user.max_user_namespaces=10000',
      );
}

/** Loaded, built in, or there to be loaded when a plugin asks. */
function checkModules(files: HostFiles, kernel: string): Finding {
  const index = [
    files.read(`/lib/modules/${kernel}/modules.dep`),
    files.read(`/lib/modules/${kernel}/modules.builtin`),
  ].join('\n');
  const wanted = ['overlay', 'bridge', 'veth', 'br_netfilter'];
  const missing = wanted.filter(
    (name) =>
      !files.exists(`/sys/module/${name}`) &&
      !new RegExp(`/${name}\\.ko`, 'm').test(index) &&
      !isBuiltIn(files, name),
  );
  return missing.length === 0
    ? ok('kernel modules', wanted.join(', '))
    : warn(
        'kernel modules',
        `not found: ${missing.join(', ')}`,
        'bridged pod networks need them (they may be built in without telling): install the modules of your kernel',
      );
}

/** Signs of what is built in where there is no list of it. */
function isBuiltIn(files: HostFiles, name: string): boolean {
  switch (name) {
    case 'overlay':
      return /\toverlay$/m.test(files.read('/proc/filesystems') ?? '');
    case 'br_netfilter':
      return files.exists('/proc/sys/net/bridge');
    case 'bridge':
      return hasSymbol(files, 'br_add_bridge');
    default:
      return hasSymbol(files, 'veth_newlink');
  }
}

function hasSymbol(files: HostFiles, symbol: string): boolean {
  return (files.read('/proc/kallsyms') ?? '').includes(` ${symbol}\n`);
}

function checkForwarding(files: HostFiles): Finding {
  return files.read('/proc/sys/net/ipv4/ip_forward')?.trim() === '1'
    ? ok('ip_forward', '1')
    : warn(
        'ip_forward',
        '0',
        'the bridge plugin sets it with the first pod; for good: sysctl net.ipv4.ip_forward=1',
      );
}

function checkBridgeFilter(files: HostFiles): Finding {
  const value = files.read('/proc/sys/net/bridge/bridge-nf-call-iptables')?.trim();
  return value === '1'
    ? ok('bridge-nf-call-iptables', '1')
    : warn(
        'bridge-nf-call-iptables',
        value ?? 'br_netfilter is not loaded',
        'kube-proxy needs it: modprobe br_netfilter && sysctl net.bridge.bridge-nf-call-iptables=1',
      );
}
