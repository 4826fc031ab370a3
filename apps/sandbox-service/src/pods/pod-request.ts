import { RuntimeError } from '@gantry/errors';
import { userMappingsOf } from '@gantry/oci-spec';
import {
  NamespaceMode,
  type PodSandboxConfig,
  type PodSandboxMetadata,
  Protocol,
} from '@gantry/proto';
import type { PodNetwork, PortMapping } from '../ports.ts';

/** HOST_NAME_MAX of Linux. */
const maxHostnameBytes = 64;

/** A pod's config with what the CRI demands of it. */
export type CheckedPodConfig = PodSandboxConfig & { readonly metadata: PodSandboxMetadata };

/** Throws `invalid-argument` for a config that no pod can be made of; nothing is changed then. */
export function checkPodConfig(config: PodSandboxConfig | undefined): CheckedPodConfig {
  const metadata = config?.metadata;
  if (config === undefined || metadata === undefined) {
    throw invalid('config.metadata: missing');
  }
  for (const key of ['name', 'namespace', 'uid'] as const) {
    if (metadata[key] === '') {
      throw invalid(`config.metadata.${key}: must not be empty`);
    }
  }
  if (config.logDirectory !== '') {
    checkPath('config.log_directory', config.logDirectory);
  }
  const parent = config.linux?.cgroupParent ?? '';
  if (parent.split('/').includes('..') || parent.includes('\0')) {
    throw invalid(`config.linux.cgroup_parent: "${parent}" is not a clean path`);
  }
  if (Buffer.byteLength(config.hostname) > maxHostnameBytes) {
    throw invalid(`config.hostname: longer than ${String(maxHostnameBytes)} bytes`);
  }
  checkDns(config);
  checkNamespaces(config);
  return { ...config, metadata };
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

/** Each becomes a word of resolv.conf: a line break in it would be another setting. */
function checkDns({ dnsConfig }: PodSandboxConfig): void {
  const { servers = [], searches = [], options = [] } = dnsConfig ?? {};
  for (const word of [...servers, ...searches, ...options]) {
    if (/[\s\0]/.test(word)) {
      throw invalid(`config.dns_config: ${JSON.stringify(word)} is more than one word`);
    }
  }
}

function checkNamespaces(config: PodSandboxConfig): void {
  const options = config.linux?.securityContext?.namespaceOptions;
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
  // Throws for mappings that no namespace can have.
  userMappingsOf(options);
}

/** Throws `invalid-argument` unless `path` is absolute and stays where it says. */
export function checkPath(field: string, path: string): void {
  if (!path.startsWith('/') || path.includes('\0') || path.split('/').includes('..')) {
    throw invalid(`${field}: "${path}" is not a clean absolute path`);
  }
}

function invalid(message: string): RuntimeError {
  return new RuntimeError('invalid-argument', message);
}
