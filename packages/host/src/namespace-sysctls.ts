import { RuntimeError } from '@gantry/errors';

/** The kinds of namespaces that can be pinned without a process in them. */
export type NamespaceKind = 'network' | 'ipc' | 'uts';

export interface SysctlFile {
  readonly name: string;
  readonly value: string;
  /** The kind of namespace that it belongs to. */
  readonly kind: NamespaceKind;
  readonly file: string;
}

// Those below kernel/ that the kernel keeps for each IPC namespace (ipc_namespaces(7)).
const ofIpc = new Set([
  'msgmax',
  'msgmnb',
  'msgmni',
  'sem',
  'shmall',
  'shmmax',
  'shmmni',
  'shm_rmid_forced',
]);

/**
 * Where a sysctl of a namespace is set. As sysctl(8) has it: the first
 * separator tells which one is meant, the other stands for itself (an interface
 * may have a dot in its name). Throws `invalid-argument` for one that is of the
 * whole host.
 */
export function namespaceSysctl(name: string, value: string, doing: string): SysctlFile {
  const slashes = /^[^./]*\//.test(name);
  const parts = slashes
    ? name.split('/')
    : name.split('.').map((part) => part.replaceAll('/', '.'));
  const isWhole = parts.length > 1 && parts.every((p) => p !== '' && p !== '.' && p !== '..');
  const kind = isWhole && !name.includes('\0') ? kindOf(parts) : undefined;
  if (kind === undefined) {
    throw new RuntimeError(
      'invalid-argument',
      `${doing}: sysctl ${name} does not belong to a network, ipc or uts namespace`,
    );
  }
  return { name, value, kind, file: `/proc/sys/${parts.join('/')}` };
}

/** The host name has a field of its own in the request: as a sysctl it would contradict that. */
function kindOf([first, second = '', third]: readonly string[]): NamespaceKind | undefined {
  switch (first) {
    case 'net':
      return 'network';
    case 'fs':
      return second === 'mqueue' && third !== undefined ? 'ipc' : undefined;
    case 'kernel':
      if (third !== undefined) {
        return undefined;
      }
      return second === 'domainname' ? 'uts' : ofIpc.has(second) ? 'ipc' : undefined;
    default:
      return undefined;
  }
}
