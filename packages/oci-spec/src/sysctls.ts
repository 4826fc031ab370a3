import { quote, RuntimeError } from '@gantry/errors';
import { NamespaceMode, type NamespaceOption, type PodSandboxConfig } from '@gantry/proto';
import { checkLength } from './check-lengths.ts';

const groupRange = 'net.ipv4.ping_group_range';
const portStart = 'net.ipv4.ip_unprivileged_port_start';

/**
 * The sysctls of a pod: those of the request, and unless they say otherwise
 * what lets programs without capabilities bind ports below 1024 and send ICMP
 * echo. Pods on the host's network change nothing of the node; in a user
 * namespace the groups of the range would not exist. Throws `invalid-argument`
 * for what is no sysctl, or none of a pod's own namespaces.
 */
export function podSysctls(
  config: PodSandboxConfig,
  defaults: { readonly unprivilegedPorts: boolean; readonly unprivilegedIcmp: boolean },
): Record<string, string> {
  const sysctls = openByDefault(config.linux?.securityContext?.namespaceOptions, defaults);
  // Kubernetes takes both spellings of the separator; runtimes only the dot.
  const options = config.linux?.securityContext?.namespaceOptions;
  for (const [key, value] of Object.entries(config.linux?.sysctls ?? {})) {
    const name = dotted(key);
    checkSysctl(name, value, options);
    sysctls[name] = value;
  }
  return sysctls;
}

/** Those that a namespace of the pod has for itself (network_namespaces(7), ipc_namespaces(7)). */
const ofNetwork = /^net\./;
const ofIpc = /^(kernel\.(shm\w+|msg\w+|sem)|fs\.mqueue\.\w+)$/;

/** The name becomes a path below /proc/sys, which is the whole node's but for what namespaces have. */
function checkSysctl(name: string, value: string, options: NamespaceOption | undefined): void {
  checkLength('sysctl', name);
  checkLength(`sysctl ${name}`, value);
  const refuse = (why: string): never => {
    throw new RuntimeError('invalid-argument', `sysctl ${quote(name)}: ${why}`);
  };
  const parts = name.split('.');
  if (!parts.every((part) => /^[\w/@:+-]+$/.test(part) && !part.startsWith('/'))) {
    refuse('is no name of a sysctl');
  }
  if (value.includes('\0')) {
    refuse('its value has a zero byte in it');
  }
  if (ofNetwork.test(name)) {
    if (options?.network === NamespaceMode.NODE) {
      refuse('the pod is on the network of the host');
    }
  } else if (ofIpc.test(name)) {
    if (options?.ipc === NamespaceMode.NODE) {
      refuse('the pod shares the IPC of the host');
    }
  } else {
    refuse('is of the whole node, not of a pod');
  }
}

function openByDefault(
  options: NamespaceOption | undefined,
  defaults: { readonly unprivilegedPorts: boolean; readonly unprivilegedIcmp: boolean },
): Record<string, string> {
  if (options?.network === NamespaceMode.NODE) {
    return {};
  }
  const inUserNamespace = options?.usernsOptions?.mode === NamespaceMode.POD;
  return {
    ...(defaults.unprivilegedPorts && { [portStart]: '0' }),
    ...(defaults.unprivilegedIcmp && !inUserNamespace && { [groupRange]: '0 2147483647' }),
  };
}

/** `net/ipv4/conf/eth0.100/forwarding` has dots inside a part: with slashes these change places (sysctl(8)). */
function dotted(key: string): string {
  const separator = /[./]/.exec(key)?.[0];
  return separator === '/'
    ? key.replace(/[./]/g, (character) => (character === '/' ? '.' : '/'))
    : key;
}
