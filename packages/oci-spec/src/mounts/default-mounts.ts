import type { OciMount } from '@gantry/oci';
import { NamespaceMode, type NamespaceOption } from '@gantry/proto';
import type { UserMappings } from '../user-namespace.ts';

/** What the mounts that every container has depend on. */
export interface DefaultMountRequest {
  readonly options: NamespaceOption | undefined;
  readonly privileged: boolean;
  readonly userMappings: UserMappings | undefined;
  /** The handler can make a whole tree read-only. */
  readonly recursiveReadOnly: boolean;
}

const shmBytes = 64 << 20;
const ttyGroup = 5;

/** The kernel's file systems, parents before children. Paths are those of runtime-spec, config-linux.md. */
export function kernelMounts(request: DefaultMountRequest): OciMount[] {
  return [
    mount('/proc', 'proc', ['nosuid', 'noexec', 'nodev']),
    mount('/dev', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    mount('/dev/pts', 'devpts', [
      'nosuid',
      'noexec',
      'newinstance',
      'ptmxmode=0666',
      'mode=0620',
      ...(maps(request.userMappings, ttyGroup) ? [`gid=${ttyGroup}`] : []),
    ]),
    mount('/dev/mqueue', 'mqueue', ['nosuid', 'noexec', 'nodev']),
    sysMount(request),
  ];
}

/** The container's part of the cgroup tree; only privileged containers may change it. */
export function cgroupMount(privileged: boolean): OciMount {
  return mount('/sys/fs/cgroup', 'cgroup', [
    'nosuid',
    'noexec',
    'nodev',
    'relatime',
    privileged ? 'rw' : 'ro',
  ]);
}

/** Shared memory goes with the IPC namespace: the host's, the pod's, or one of its own. */
export function shmMount(options: NamespaceOption | undefined, podShmPath: string): OciMount {
  switch (options?.ipc) {
    case NamespaceMode.NODE:
      return bind('/dev/shm', '/dev/shm', ['rw']);
    case NamespaceMode.CONTAINER:
      return {
        ...mount('/dev/shm', 'tmpfs', [
          'nosuid',
          'noexec',
          'nodev',
          'mode=1777',
          `size=${shmBytes}`,
        ]),
        source: 'shm',
      };
    default:
      return bind('/dev/shm', podShmPath, ['rw']);
  }
}

/** A bind mount with everything below it, cut off from later mounts. */
export function bind(destination: string, source: string, options: readonly string[]): OciMount {
  return { destination, type: 'bind', source, options: ['rbind', 'rprivate', ...options] };
}

/**
 * sysfs shows the devices of its network namespace, so the kernel lets only
 * that namespace's owner mount it: in a user namespace on the host's network
 * the host's own is shown, read-only.
 */
function sysMount({
  options,
  privileged,
  userMappings,
  recursiveReadOnly,
}: DefaultMountRequest): OciMount {
  const flags = ['nosuid', 'noexec', 'nodev'];
  if (userMappings !== undefined && options?.network === NamespaceMode.NODE) {
    return bind('/sys', '/sys', [...flags, recursiveReadOnly ? 'rro' : 'ro']);
  }
  return mount('/sys', 'sysfs', [...flags, privileged ? 'rw' : 'ro']);
}

function mount(destination: string, type: string, options: string[]): OciMount {
  return { destination, type, source: type, options };
}

function maps(mappings: UserMappings | undefined, gid: number): boolean {
  return (
    mappings === undefined ||
    mappings.gids.some(({ containerID, size }) => gid >= containerID && gid < containerID + size)
  );
}
