import { NamespaceMode, type NamespaceOption, type PodSandboxConfig } from '@gantry/proto';

const groupRange = 'net.ipv4.ping_group_range';
const portStart = 'net.ipv4.ip_unprivileged_port_start';

/**
 * The sysctls of a pod: those of the request, and unless they say otherwise
 * what lets programs without capabilities bind ports below 1024 and send ICMP
 * echo. Pods on the host's network change nothing of the node; in a user
 * namespace the groups of the range would not exist.
 */
export function podSysctls(
  config: PodSandboxConfig,
  defaults: { readonly unprivilegedPorts: boolean; readonly unprivilegedIcmp: boolean },
): Record<string, string> {
  const sysctls = openByDefault(config.linux?.securityContext?.namespaceOptions, defaults);
  // Kubernetes takes both spellings of the separator; runtimes only the dot.
  for (const [key, value] of Object.entries(config.linux?.sysctls ?? {})) {
    sysctls[dotted(key)] = value;
  }
  return sysctls;
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
