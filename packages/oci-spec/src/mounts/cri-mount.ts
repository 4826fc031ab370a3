import { posix } from 'node:path';
import { quote, RuntimeError } from '@gantry/errors';
import type { OciMount } from '@gantry/oci';
import { type Mount, MountPropagation } from '@gantry/proto';
import type { HostFacts, ResolvedMount } from '../spec-input.ts';
import { checkIdRanges, toOciMappings } from '../user-namespace.ts';

type MountFacts = Pick<HostFacts, 'recursiveReadOnly' | 'idmapMounts'>;

/** How mounts and unmounts pass between host and container, weakest first. */
export type Propagation = 'rprivate' | 'rslave' | 'rshared';

/** Options of Mount.mount_options that can only take rights away or tune times. */
const plainOptions: ReadonlySet<string> = new Set([
  'nodev',
  'noexec',
  'nosuid',
  'noatime',
  'nodiratime',
  'relatime',
  'norelatime',
  'strictatime',
  'nosymfollow',
]);

/**
 * A mount of the request in the runtime's words. Throws `invalid-argument`
 * for contradictions, and `failed-precondition` where the host or the runtime
 * can't do what is asked, so that nothing is mounted in a weaker way.
 */
export function criMount(resolved: ResolvedMount, host: MountFacts): OciMount {
  const { request, source } = resolved;
  const destination = destinationOf(request);
  const extra = request.mountOptions.map((option) => checkOption(option, destination));
  return {
    destination,
    type: 'bind',
    source,
    options: [
      'rbind',
      propagationOf(resolved, destination),
      accessOf(request, host, destination),
      ...extra,
    ],
    ...mappingsOf(resolved, host, destination),
  };
}

function destinationOf(request: Mount): string {
  const path = request.containerPath;
  if (!posix.isAbsolute(path) || path.includes('\0')) {
    throw new RuntimeError(
      'invalid-argument',
      `mount ${quote(path)}: container_path is no absolute path`,
    );
  }
  const clean = cleanPath(path);
  if (clean === '/') {
    throw new RuntimeError('invalid-argument', 'mount "/": would hide the root file system');
  }
  return clean;
}

/** Without `.`, `..`, double and trailing slashes. */
export function cleanPath(path: string): string {
  return posix.resolve('/', path);
}

/** The propagation that a mount asks for; its source has to have as much (mount_namespaces(7)). */
export function propagationOf(resolved: ResolvedMount, path: string): Propagation {
  const { shared = false, slave = false } = resolved.propagation ?? {};
  switch (resolved.request.propagation) {
    case MountPropagation.PROPAGATION_PRIVATE:
      return 'rprivate';
    case MountPropagation.PROPAGATION_HOST_TO_CONTAINER:
      return checkSource(shared || slave, 'rslave', 'shared or slave', path, resolved.source);
    case MountPropagation.PROPAGATION_BIDIRECTIONAL:
      return checkSource(shared, 'rshared', 'shared', path, resolved.source);
    default:
      throw new RuntimeError('invalid-argument', `mount ${path}: unknown propagation`);
  }
}

function checkSource(
  fits: boolean,
  propagation: Propagation,
  needed: string,
  path: string,
  source: string,
): Propagation {
  if (!fits) {
    throw new RuntimeError(
      'failed-precondition',
      `mount ${path}: path ${quote(source)} is mounted but it is not a ${needed} mount`,
    );
  }
  return propagation;
}

function accessOf(request: Mount, host: MountFacts, path: string): string {
  if (!request.recursiveReadOnly) {
    return request.readonly ? 'ro' : 'rw';
  }
  if (!request.readonly || request.propagation !== MountPropagation.PROPAGATION_PRIVATE) {
    throw new RuntimeError(
      'invalid-argument',
      `mount ${path}: recursive_read_only needs readonly and private propagation`,
    );
  }
  if (!host.recursiveReadOnly) {
    throw new RuntimeError(
      'failed-precondition',
      `mount ${path}: recursive read-only mounts are not supported by kernel or runtime`,
    );
  }
  return 'rro';
}

function mappingsOf(
  resolved: ResolvedMount,
  host: MountFacts,
  path: string,
): Pick<OciMount, 'uidMappings' | 'gidMappings'> {
  const { request } = resolved;
  if (request.uidMappings.length === 0 && request.gidMappings.length === 0) {
    return {};
  }
  if (request.uidMappings.length === 0 || request.gidMappings.length === 0) {
    throw new RuntimeError('invalid-argument', `mount ${path}: needs mappings of users and groups`);
  }
  checkIdRanges(request.uidMappings, `mount ${path}: uid_mappings`);
  checkIdRanges(request.gidMappings, `mount ${path}: gid_mappings`);
  if (resolved.idsMapped === true) {
    return {};
  }
  if (!host.idmapMounts) {
    throw new RuntimeError(
      'failed-precondition',
      `mount ${path}: idmapped mounts are not supported by the runtime`,
    );
  }
  return {
    uidMappings: toOciMappings(request.uidMappings),
    gidMappings: toOciMappings(request.gidMappings),
  };
}

function checkOption(option: string, path: string): string {
  if (!plainOptions.has(option)) {
    throw new RuntimeError(
      'invalid-argument',
      `mount ${path}: mount option ${quote(option)} is not allowed`,
    );
  }
  return option;
}
