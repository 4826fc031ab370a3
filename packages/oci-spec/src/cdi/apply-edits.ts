import { RuntimeError } from '@gantry/errors';
import type { OciDevice, OciLinux, OciMount, OciProcess, OciSpec } from '@gantry/oci';
import { definite, withHook } from '../hooks/hook-file.ts';
import type { CdiDeviceNode, CdiEdits } from './cdi-spec.ts';

/** A node with what the host says of it. */
export type FoundNode = Pick<OciDevice, 'type' | 'major' | 'minor' | 'fileMode'>;

/**
 * A spec as CDI edits change it (Container Device Interface, SPEC.md). `found`
 * are the nodes of the host that `nodesToFind` names. Throws `failed-precondition`
 * for a node that is neither described nor there.
 */
export function applyCdiEdits(
  spec: OciSpec,
  edits: readonly CdiEdits[],
  found: ReadonlyMap<string, FoundNode>,
): OciSpec {
  let changed = spec;
  for (const edit of edits) {
    changed = {
      ...changed,
      process: processWith(changed.process, edit),
      mounts: mountsWith(changed.mounts, edit),
      linux: linuxWith(changed, edit, found),
    };
    for (const { hookName, ...hook } of edit.hooks) {
      changed = withHook(changed, [hookName], definite(hook));
    }
  }
  return changed;
}

/** Paths of nodes whose type and numbers the edits leave to the host. */
export function nodesToFind(edits: readonly CdiEdits[]): readonly string[] {
  const nodes = edits.flatMap(({ deviceNodes }) => deviceNodes);
  return [...new Set(nodes.filter((node) => !isDescribed(node)).map(hostPathOf))];
}

function isDescribed({ type, major, minor }: CdiDeviceNode): boolean {
  return type === 'p' || (type !== undefined && major !== undefined && minor !== undefined);
}

function hostPathOf({ path, hostPath }: CdiDeviceNode): string {
  return hostPath ?? path;
}

function processWith(process: OciProcess, { env, additionalGids }: CdiEdits): OciProcess {
  const names = new Set(env.map(nameOf));
  const { additionalGids: had = [] } = process.user;
  const gids = additionalGids.filter((gid) => gid !== 0 && !had.includes(gid));
  return {
    ...process,
    env: [...process.env.filter((line) => !names.has(nameOf(line))), ...env],
    ...(gids.length === 0
      ? {}
      : { user: { ...process.user, additionalGids: [...had, ...new Set(gids)] } }),
  };
}

function nameOf(line: string): string {
  return line.slice(0, line.indexOf('='));
}

function mountsWith(mounts: readonly OciMount[], edit: CdiEdits): OciMount[] {
  const added = edit.mounts.map(
    ({ hostPath, containerPath, options, type }): OciMount => ({
      destination: containerPath,
      source: hostPath,
      // A bind is told by its options.
      options:
        (type ?? 'bind') !== 'bind' || options.some(isBind) ? options : ['rbind', ...options],
      type: type ?? 'bind',
    }),
  );
  const taken = new Set(added.map(({ destination }) => destination));
  return [...mounts.filter(({ destination }) => !taken.has(destination)), ...added].sort(
    (a, b) => depthOf(a) - depthOf(b),
  );
}

function isBind(option: string): boolean {
  return option === 'bind' || option === 'rbind';
}

function depthOf({ destination }: OciMount): number {
  return destination.split('/').length;
}

function linuxWith(
  { linux, process }: OciSpec,
  { deviceNodes, intelRdt }: CdiEdits,
  found: ReadonlyMap<string, FoundNode>,
): OciLinux {
  const nodes = deviceNodes.map((node) => ({
    device: deviceOf(node, process, found),
    access: node.permissions || 'rwm',
  }));
  const taken = new Set(nodes.map(({ device }) => device.path));
  const rules = nodes
    .filter(({ device: { type } }) => type !== 'p')
    .map(({ device: { type, major, minor }, access }) => ({
      allow: true,
      type: type === 'b' ? ('b' as const) : ('c' as const),
      ...(major !== undefined && { major }),
      ...(minor !== undefined && { minor }),
      access,
    }));
  const { enableCMT: _, enableMBM: __, ...rdt } = intelRdt ?? {};
  return {
    ...linux,
    devices: [
      ...(linux.devices ?? []).filter(({ path }) => !taken.has(path)),
      ...nodes.map(({ device }) => device),
    ],
    resources: {
      ...linux.resources,
      devices: [...(linux.resources?.devices ?? []), ...rules],
    },
    ...(intelRdt === undefined ? {} : { intelRdt: defined(rdt) }),
  };
}

function deviceOf(
  node: CdiDeviceNode,
  { user }: OciProcess,
  found: ReadonlyMap<string, FoundNode>,
): OciDevice {
  return defined({
    path: node.path,
    ...kindOf(node, found.get(hostPathOf(node))),
    // Who runs as somebody is meant to use what it is given.
    uid: node.uid ?? (user.uid === 0 ? undefined : user.uid),
    gid: node.gid ?? (user.gid === 0 ? undefined : user.gid),
  });
}

function kindOf(node: CdiDeviceNode, host: FoundNode | undefined) {
  const { path, type = host?.type, major, minor, fileMode } = node;
  if (type === undefined || (host === undefined && !isDescribed(node))) {
    const message = `CDI device node ${path}: ${hostPathOf(node)} is no device of this host`;
    throw new RuntimeError('failed-precondition', message);
  }
  return {
    type,
    major: major ?? host?.major,
    minor: minor ?? host?.minor,
    fileMode: fileMode ?? host?.fileMode,
  };
}

type Definite<T> = {
  [K in keyof T as undefined extends T[K] ? never : K]: T[K];
} & { [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined> };

/** Without the keys that have no value. */
function defined<T extends object>(fields: T): Definite<T> {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Definite<T>;
}
