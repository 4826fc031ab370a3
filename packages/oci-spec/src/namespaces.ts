import { RuntimeError } from '@gantry/errors';
import type { OciNamespace } from '@gantry/oci';
import { NamespaceMode, type NamespaceOption } from '@gantry/proto';
import type { PodNamespaces } from './spec-input.ts';

/** Every namespace of a process that a pod's containers can join: with a pause container, its pid. */
export function namespacesOfPid(pid: number): Required<PodNamespaces> {
  const path = (file: string): string => `/proc/${pid}/ns/${file}`;
  return {
    network: path('net'),
    ipc: path('ipc'),
    uts: path('uts'),
    pid: path('pid'),
    user: path('user'),
  };
}

/** What decides a container's namespaces. */
export interface NamespaceRequest {
  readonly options: NamespaceOption | undefined;
  readonly pod: PodNamespaces;
  readonly targetPidNamespace?: string | undefined;
  readonly privileged: boolean;
  readonly userNamespace: boolean;
  readonly cgroupVersion: 1 | 2;
}

/**
 * The namespaces of a container (NamespaceOption): POD joins the pod's,
 * CONTAINER makes a new one, NODE stays in the host's, TARGET joins another
 * container's processes. Throws `invalid-argument` for TARGET without one.
 */
export function containerNamespaces(request: NamespaceRequest): OciNamespace[] {
  const { options, pod } = request;
  checkModes(options);
  return [
    { type: 'mount' },
    ...shared('network', options?.network, pod.network),
    ...shared('ipc', options?.ipc, pod.ipc),
    // The host name goes with the network.
    ...shared('uts', options?.network, pod.uts),
    ...pidNamespace(request),
    ...(request.userNamespace ? joined('user', pod.user) : []),
    ...ownCgroup(request.privileged, request.cgroupVersion),
  ];
}

/**
 * Throws `invalid-argument` for a container that asks for a namespace of the
 * host (NODE) which its pod has not: what a pod is kept from is decided once.
 */
export function checkHostNamespaces(
  container: NamespaceOption | undefined,
  pod: NamespaceOption | undefined,
): void {
  for (const name of ['network', 'ipc', 'pid'] as const) {
    if (container?.[name] === NamespaceMode.NODE && pod?.[name] !== NamespaceMode.NODE) {
      throw new RuntimeError(
        'invalid-argument',
        `namespace_options.${name}: NODE, in a pod that has not the host's`,
      );
    }
  }
}

/** Protobuf carries modes that the CRI does not have: none of them may count as another. */
function checkModes(options: NamespaceOption | undefined): void {
  const { POD, CONTAINER, NODE, TARGET } = NamespaceMode;
  const modes = { network: options?.network, ipc: options?.ipc, pid: options?.pid };
  for (const [name, mode = POD] of Object.entries(modes)) {
    const known: readonly NamespaceMode[] =
      name === 'pid' ? [POD, CONTAINER, NODE, TARGET] : [POD, CONTAINER, NODE];
    if (!known.includes(mode)) {
      throw new RuntimeError(
        'invalid-argument',
        `namespace_options.${name}: mode ${String(mode)} does not exist`,
      );
    }
  }
}

/** The namespaces of a pod's pause container: those with a path exist, the others it makes. */
export function pauseNamespaces(
  request: Omit<NamespaceRequest, 'targetPidNamespace'>,
): OciNamespace[] {
  const { options, pod } = request;
  const ofPod = (type: 'network' | 'ipc' | 'uts', mode?: NamespaceMode): OciNamespace[] =>
    mode === NamespaceMode.NODE ? [] : [ownOrJoined(type, pod[type])];
  return [
    { type: 'mount' },
    ...ofPod('network', options?.network),
    ...ofPod('ipc', options?.ipc),
    ...ofPod('uts', options?.network),
    ...(options?.pid === NamespaceMode.NODE ? [] : [{ type: 'pid' as const }]),
    ...(request.userNamespace ? [ownOrJoined('user', pod.user)] : []),
    ...ownCgroup(request.privileged, request.cgroupVersion),
  ];
}

function shared(
  type: 'network' | 'ipc' | 'uts',
  mode: NamespaceMode | undefined,
  path: string | undefined,
): OciNamespace[] {
  switch (mode) {
    case NamespaceMode.NODE:
      return [];
    case NamespaceMode.CONTAINER:
      return [{ type }];
    default:
      return joined(type, path);
  }
}

function pidNamespace({ options, pod, targetPidNamespace }: NamespaceRequest): OciNamespace[] {
  switch (options?.pid) {
    case NamespaceMode.NODE:
      return [];
    case NamespaceMode.TARGET:
      if (targetPidNamespace === undefined) {
        throw new RuntimeError(
          'invalid-argument',
          `namespace_options.target_id: no container ${JSON.stringify(options.targetId)} to join`,
        );
      }
      return joined('pid', targetPidNamespace);
    case NamespaceMode.CONTAINER:
      return [{ type: 'pid' }];
    default:
      if (pod.pid === undefined) {
        throw new RuntimeError('failed-precondition', 'namespace_options.pid: the pod has none');
      }
      return joined('pid', pod.pid);
  }
}

function joined(type: OciNamespace['type'], path: string | undefined): OciNamespace[] {
  return path === undefined ? [] : [{ type, path }];
}

function ownOrJoined(type: OciNamespace['type'], path: string | undefined): OciNamespace {
  return path === undefined ? { type } : { type, path };
}

/** With cgroup v1 tools expect to see the host's paths, and a privileged container means to. */
function ownCgroup(privileged: boolean, cgroupVersion: 1 | 2): OciNamespace[] {
  return cgroupVersion === 2 && !privileged ? [{ type: 'cgroup' }] : [];
}
