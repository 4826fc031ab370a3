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
  checkIdRanges(mappings, `userns_options.${field}`);
  return toOciMappings(mappings);
}

/** user_namespaces(7): lines in a map of ids. */
const maxRanges = 340;
/** The last id of all, 2^32-1, means none. */
const endOfIds = 2 ** 32 - 1;

/**
 * Throws `invalid-argument`, that begins with the field, for mappings that the
 * kernel takes from nobody: empty ones, ids that do not exist, the same id twice.
 */
export function checkIdRanges(mappings: readonly IDMapping[], field: string): void {
  const refuse = (why: string): never => {
    throw new RuntimeError('invalid-argument', `${field}: ${why}`);
  };
  if (mappings.length > maxRanges) {
    refuse(`${mappings.length} mappings are too many: ${maxRanges} at most`);
  }
  for (const { containerId, hostId, length } of mappings) {
    if (length < 1) {
      refuse('an empty mapping');
    }
    if (containerId + length > endOfIds || hostId + length > endOfIds) {
      refuse(`${containerId}:${hostId}:${length} goes beyond the last id`);
    }
  }
  for (const side of ['containerId', 'hostId'] as const) {
    const sorted = [...mappings].sort((a, b) => a[side] - b[side]);
    for (const [index, range] of sorted.entries()) {
      const next = sorted[index + 1];
      if (next !== undefined && range[side] + range.length > next[side]) {
        refuse(`${next[side]} is mapped twice`);
      }
    }
  }
}

/** In the runtime spec's words. */
export function toOciMappings(mappings: readonly IDMapping[]): OciIdMapping[] {
  return mappings.map(({ containerId, hostId, length }) => ({
    containerID: containerId,
    hostID: hostId,
    size: length,
  }));
}
