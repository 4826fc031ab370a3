import { type UserMappings, userMappingsOf } from '@gantry/oci-spec';
import type { Paths } from '../paths.ts';
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
