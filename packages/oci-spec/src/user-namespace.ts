import { RuntimeError } from '@gantry/errors';
import type { OciIdMapping } from '@gantry/oci';
import { type IDMapping, NamespaceMode, type NamespaceOption } from '@gantry/proto';

/** The ids of a pod with a user namespace of its own. */
export interface UserMappings {
  readonly uids: readonly OciIdMapping[];
  readonly gids: readonly OciIdMapping[];
}

/**
 * The user namespace that is asked for; undefined for the host's. Throws
 * `invalid-argument` for a mode that the CRI does not have here, and for
 * anything but one mapping of ids from 0 up (KEP-127).
 */
export function userMappingsOf(options: NamespaceOption | undefined): UserMappings | undefined {
  const asked = options?.usernsOptions;
  if (asked === undefined) {
    return undefined;
  }
  if (asked.mode === NamespaceMode.NODE) {
    if (asked.uids.length > 0 || asked.gids.length > 0) {
      throw new RuntimeError('invalid-argument', 'userns_options: mode NODE takes no mappings');
    }
    return undefined;
  }
  if (asked.mode !== NamespaceMode.POD) {
    throw new RuntimeError('invalid-argument', 'userns_options: only modes POD and NODE exist');
  }
  return { uids: single(asked.uids, 'uids'), gids: single(asked.gids, 'gids') };
}

/** The mappings of `container` have to be those of its pod. */
export function checkSameMappings(
  pod: UserMappings | undefined,
  container: UserMappings | undefined,
): void {
  if (JSON.stringify(pod) !== JSON.stringify(container)) {
    throw new RuntimeError('invalid-argument', "userns_options: not the same as the pod's");
  }
}

function single(mappings: readonly IDMapping[], field: string): OciIdMapping[] {
  const [mapping, another] = mappings;
  if (mapping === undefined || another !== undefined) {
    throw new RuntimeError('invalid-argument', `userns_options.${field}: one mapping is needed`);
  }
  if (mapping.length < 1 || mapping.containerId !== 0) {
    throw new RuntimeError('invalid-argument', `userns_options.${field}: must map ids from 0 up`);
  }
  return toOciMappings(mappings);
}

/** In the runtime spec's words. */
export function toOciMappings(mappings: readonly IDMapping[]): OciIdMapping[] {
  return mappings.map(({ containerId, hostId, length }) => ({
    containerID: containerId,
    hostID: hostId,
    size: length,
  }));
}
