import { RuntimeError } from '@gantry/errors';
import {
  attachMount,
  cloneMount,
  Descriptors,
  makeReadOnly,
  mountClassic,
} from './mount-syscalls.ts';
import { requireCleanPath } from './system-error.ts';

const noSuid = 2; // MS_NOSUID
const noDev = 4; // MS_NODEV
const noExec = 8; // MS_NOEXEC

/** Mounts a tmpfs, nosuid, nodev and noexec, on an existing directory. */
export function mountTmpfs(o: {
  readonly target: string;
  readonly sizeBytes: number;
  /** Permission bits of its root, for instance 0o1777. */
  readonly mode: number;
  /** The SELinux label of every file in it; a kernel without SELinux refuses. */
  readonly label?: string | undefined;
}): Promise<void> {
  return Promise.try(() => {
    const doing = `mount tmpfs on ${o.target}`;
    requireCleanPath(o.target, doing);
    requireCleanLabel(o.label, doing);
    const context = o.label === undefined ? '' : `,context="${o.label}"`;
    const data = `size=${String(o.sizeBytes)},mode=${o.mode.toString(8)}${context}`;
    const flags = noSuid | noDev | noExec;
    mountClassic({ source: 'tmpfs', target: o.target, type: 'tmpfs', flags, data }, doing);
  });
}

/**
 * Makes `source` appear at `target`, which exists and is a directory where the
 * source is one. Read-only from its first moment when told so (Linux 5.12);
 * `recursive` takes the mounts below the source along.
 */
export function bindMount(o: {
  readonly source: string;
  readonly target: string;
  readonly readonly?: boolean;
  readonly recursive?: boolean;
}): Promise<void> {
  return Promise.try(() => {
    const doing = `bind ${o.source} on ${o.target}`;
    requireCleanPath(o.source, doing);
    requireCleanPath(o.target, doing);
    const recursive = o.recursive === true;
    using held = new Descriptors();
    const mountFd = held.add(cloneMount(o.source, recursive, doing));
    if (o.readonly === true) {
      makeReadOnly(mountFd, recursive, doing);
    }
    attachMount(mountFd, o.target, doing);
  });
}

/** Throws for a label that would be another option of a mount. */
export function requireCleanLabel(label: string | undefined, doing: string): void {
  if (label !== undefined && !/^[\w.:,-]+$/.test(label)) {
    throw new RuntimeError('invalid-argument', `${doing}: ${JSON.stringify(label)} is no label`);
  }
}
