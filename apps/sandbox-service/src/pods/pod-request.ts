import { isIP } from 'node:net';
import { kindOf, quote, RuntimeError } from '@gantry/errors';
import { checkSelinuxOptions, linuxResources, userMappingsOf } from '@gantry/oci-spec';
import {
  type LinuxContainerResources,
  NamespaceMode,
  type PodSandboxConfig,
  type PodSandboxMetadata,
  Protocol,
} from '@gantry/proto';
import { checkName, checkPath } from '../client-text.ts';
import type { PodNetwork, PortMapping } from '../ports.ts';

// Protobuf carries numbers that are none of these.
const protocols: readonly Protocol[] = [Protocol.TCP, Protocol.UDP, Protocol.SCTP];
const pidModes: readonly NamespaceMode[] = [
  NamespaceMode.POD,
  NamespaceMode.CONTAINER,
  NamespaceMode.NODE,
];

/** HOST_NAME_MAX of Linux. */
const maxHostnameBytes = 64;

/** A pod's config with what the CRI demands of it. */
export type CheckedPodConfig = PodSandboxConfig & { readonly metadata: PodSandboxMetadata };

/**
 * Throws `invalid-argument` for a config that no pod can be made of; nothing is changed then. What is wrong
 * with the rest of it is told with the name of the pod.
 */
export function checkPodConfig(config: PodSandboxConfig | undefined): CheckedPodConfig {
  const metadata = config?.metadata;
  if (config === undefined || metadata === undefined) {
    throw invalid('run pod sandbox: config.metadata: missing');
  }
  for (const key of ['name', 'namespace', 'uid'] as const) {
    checkName(`run pod sandbox: config.metadata.${key}`, metadata[key]);
  }
  const checked = { ...config, metadata };
  namingPod(checked, () => {
    checkSettings(config);
  });
  return checked;
}

/** What is being done to which pod, for messages. */
export function runningPod({ metadata }: CheckedPodConfig): string {
  return `run pod sandbox ${metadata.namespace}/${metadata.name}`;
}

/** Runs `check`; what it throws is told with the name of the pod. */
export function namingPod<T>(config: CheckedPodConfig, check: () => T): T {
  try {
    return check();
  } catch (cause) {
    throw new RuntimeError(kindOf(cause), runningPod(config), { cause });
  }
}

function checkSettings(config: PodSandboxConfig): void {
  if (config.logDirectory !== '') {
    checkPath('config.log_directory', config.logDirectory);
  }
  const parent = config.linux?.cgroupParent ?? '';
  if (!isCgroupPath(parent)) {
    throw invalid(`config.linux.cgroup_parent: ${quote(parent)} is not a clean path`);
  }
  checkHostname(config);
  checkDns(config);
  checkPorts(config);
  checkResources('overhead', config.linux?.overhead);
  checkResources('resources', config.linux?.resources);
  checkSecurity(config);
}

export function usesHostNetwork(config: PodSandboxConfig): boolean {
  return config.linux?.securityContext?.namespaceOptions?.network === NamespaceMode.NODE;
}

export function usesHostIpc(config: PodSandboxConfig): boolean {
  return config.linux?.securityContext?.namespaceOptions?.ipc === NamespaceMode.NODE;
}

/** What network plugins are told. */
export function podNetwork(
  id: string,
  config: PodSandboxConfig,
  more: { readonly netnsPath: string; readonly cgroupParent: string },
): PodNetwork {
  const { name = '', namespace = '', uid = '' } = config.metadata ?? {};
  const { dnsConfig } = config;
  return {
    ...more,
    sandboxId: id,
    name,
    namespace,
    uid,
    annotations: config.annotations,
    portMappings: config.portMappings.filter((p) => p.hostPort > 0).map(portMapping),
    ...(dnsConfig === undefined ? {} : { dns: dnsConfig }),
  };
}

function portMapping(port: PodSandboxConfig['portMappings'][number]): PortMapping {
  return {
    protocol: protocolOf(port.protocol),
    containerPort: port.containerPort,
    hostPort: port.hostPort,
    hostIp: port.hostIp,
  };
}

function protocolOf(protocol: Protocol): PortMapping['protocol'] {
  switch (protocol) {
    case Protocol.UDP:
      return 'udp';
    case Protocol.SCTP:
      return 'sctp';
    default:
      return 'tcp';
  }
}

function checkHostname({ hostname }: PodSandboxConfig): void {
  if (Buffer.byteLength(hostname) > maxHostnameBytes) {
    throw invalid(`config.hostname: longer than ${String(maxHostnameBytes)} bytes`);
  }
  if (/[\s/\p{Cc}]/u.test(hostname)) {
    throw invalid(`config.hostname: ${quote(hostname)} is no host name`);
  }
}

/** The longest name of a directory (NAME_MAX), and of a path (PATH_MAX) with room for the hierarchy and the id. */
const maxPartBytes = 255;
const maxCgroupBytes = 3072;

function isCgroupPath(path: string): boolean {
  return (
    !/\p{Cc}/u.test(path) &&
    Buffer.byteLength(path) <= maxCgroupBytes &&
    path.split('/').every((part) => part !== '..' && Buffer.byteLength(part) <= maxPartBytes)
  );
}

/** What the pod's cgroup may use is the kubelet's matter: only nonsense is refused, on any host. */
function checkResources(field: string, limits: LinuxContainerResources | undefined): void {
  try {
    linuxResources(limits, { cgroupVersion: 2, hugepageSizes: [], swapAccounting: false });
  } catch (cause) {
    throw new RuntimeError(kindOf(cause), `config.linux.${field}`, { cause });
  }
}

/** Those without a host port only inform. */
function checkPorts({ portMappings }: PodSandboxConfig): void {
  const taken = new Set<string>();
  for (const mapping of portMappings) {
    checkPort(mapping);
    const { protocol, hostPort, hostIp } = mapping;
    const key = `${String(protocol)} ${hostIp} ${hostPort}`;
    if (hostPort !== 0 && taken.has(key)) {
      throw invalid(`config.port_mappings: host_port ${hostPort} is given twice`);
    }
    taken.add(key);
  }
}

function checkPort({
  protocol,
  hostPort,
  containerPort,
  hostIp,
}: PodSandboxConfig['portMappings'][number]): void {
  if (!protocols.includes(protocol)) {
    throw invalid(`config.port_mappings: protocol ${String(protocol)} does not exist`);
  }
  if (hostPort !== 0 && !isPort(hostPort)) {
    throw invalid(`config.port_mappings: host_port ${hostPort} is no port`);
  }
  if (!isPort(containerPort) && (hostPort !== 0 || containerPort !== 0)) {
    throw invalid(`config.port_mappings: container_port ${containerPort} is no port`);
  }
  if (hostIp !== '' && isIP(hostIp) === 0) {
    throw invalid(`config.port_mappings: host_ip ${quote(hostIp)} is no address`);
  }
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535;
}

/** Each becomes a word of resolv.conf: a line break in it would be another setting. */
function checkDns({ dnsConfig }: PodSandboxConfig): void {
  const { servers = [], searches = [], options = [] } = dnsConfig ?? {};
  for (const word of [...servers, ...searches, ...options]) {
    if (/[\s\0]/.test(word)) {
      throw invalid(`config.dns_config: ${quote(word)} is more than one word`);
    }
  }
}

function checkSecurity(config: PodSandboxConfig): void {
  const security = config.linux?.securityContext;
  // Whether SELinux is on or not, and whether there is a pause container or not.
  checkSelinuxOptions(security?.selinuxOptions);
  const options = security?.namespaceOptions;
  if (options === undefined) {
    return;
  }
  const field = 'config.linux.security_context.namespace_options';
  for (const [name, mode] of Object.entries({ network: options.network, ipc: options.ipc })) {
    if (mode !== NamespaceMode.POD && mode !== NamespaceMode.NODE) {
      throw invalid(`${field}.${name}: must be POD or NODE`);
    }
  }
  if (options.pid === NamespaceMode.TARGET) {
    throw invalid(`${field}.pid: TARGET is for containers`);
  }
  if (!pidModes.includes(options.pid)) {
    throw invalid(`${field}.pid: mode ${String(options.pid)} does not exist`);
  }
  // Throws for mappings that no namespace can have.
  if (userMappingsOf(options) !== undefined && options.pid === NamespaceMode.NODE) {
    throw invalid(`${field}.pid: NODE is not for a pod with users of its own (userns_options)`);
  }
}

function invalid(message: string): RuntimeError {
  return new RuntimeError('invalid-argument', message);
}
