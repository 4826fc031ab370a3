import { RuntimeError } from '@gantry/errors';
import { type UserMappings, userMappingsOf } from '@gantry/oci-spec';
import type { PodSandboxConfig } from '@gantry/proto';
import type { Paths } from '../paths.ts';
import type { IdRange, RuntimeHandler } from '../ports.ts';
import type { Sandbox } from '../store/sandbox-store.ts';

/** The mappings of a pod that has a user namespace of its own. */
export function mappingsOf({ config }: Pick<Sandbox, 'config'>): UserMappings | undefined {
  return userMappingsOf(config.linux?.securityContext?.namespaceOptions);
}

/** The file that pins a pod's user namespace; undefined for pods in the host's. */
export function userNamespaceOf(
  paths: Paths,
  sandbox: Pick<Sandbox, 'id' | 'config'>,
): string | undefined {
  return mappingsOf(sandbox) === undefined ? undefined : paths.userns(sandbox.id);
}

/** Throws `failed-precondition` where a pod asks for a user namespace that it can't have here. */
export function requireUserNamespaces(config: PodSandboxConfig, handler: RuntimeHandler): void {
  if (handler.noUserNamespaces !== undefined && mappingsOf({ config }) !== undefined) {
    throw new RuntimeError(
      'failed-precondition',
      `runtime handler "${handler.name}" has no user namespaces: ${handler.noUserNamespaces}`,
    );
  }
}

/** The mappings as the kernel is told of them. */
export function rangesOf({ uids, gids }: UserMappings): Record<'uids' | 'gids', IdRange[]> {
  const ranges = (mappings: UserMappings['uids']): IdRange[] =>
    mappings.map((m) => ({ containerId: m.containerID, hostId: m.hostID, length: m.size }));
  return { uids: ranges(uids), gids: ranges(gids) };
}

/** Whom the files of a pod belong to: its root. */
export function ownerOf(sandbox: Pick<Sandbox, 'config'>): { uid: number; gid: number } {
  const mappings = mappingsOf(sandbox);
  return { uid: mappings?.uids[0]?.hostID ?? 0, gid: mappings?.gids[0]?.hostID ?? 0 };
}
