import { posix } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import type { OciSeccomp } from '@gantry/oci';
import { SecurityProfile_ProfileType as ProfileType, type SecurityProfile } from '@gantry/proto';
import type { HostFacts } from '../spec-input.ts';
import { defaultProfile } from './default-profile.ts';
import { resolveSeccomp, type SeccompProfile } from './profile.ts';

/** The fields of a security context that say which seccomp profile is wanted. */
export interface SeccompFields {
  readonly privileged: boolean;
  readonly seccomp?: SecurityProfile | undefined;
  /** The deprecated string; counts only where `seccomp` is not given. */
  readonly seccompProfilePath: string;
}

export type SeccompRequest =
  | { readonly type: 'unconfined' }
  | { readonly type: 'runtime-default' }
  | { readonly type: 'localhost' /** Absolute, of the host. */; readonly path: string };

/**
 * Which profile is asked for: none at all means unconfined, and privileged
 * containers are never confined. Throws `invalid-argument` for a Localhost
 * profile without an absolute path. The caller reads and parses that file.
 */
export function seccompRequestOf(fields: SeccompFields | undefined): SeccompRequest {
  if (fields === undefined || fields.privileged) {
    return { type: 'unconfined' };
  }
  if (fields.seccomp === undefined) {
    return requestOfText(fields.seccompProfilePath);
  }
  switch (fields.seccomp.profileType) {
    case ProfileType.RuntimeDefault:
      return { type: 'runtime-default' };
    case ProfileType.Unconfined:
      return { type: 'unconfined' };
    case ProfileType.Localhost:
      return localhost(fields.seccomp.localhostRef);
    default:
      throw new RuntimeError('invalid-argument', 'seccomp: unknown profile type');
  }
}

function requestOfText(text: string): SeccompRequest {
  switch (text) {
    case '':
    case 'unconfined':
      return { type: 'unconfined' };
    case 'runtime/default':
    case 'docker/default':
      return { type: 'runtime-default' };
    default:
      return localhost(text);
  }
}

function localhost(reference: string): SeccompRequest {
  const path = reference.replace(/^localhost\//, '');
  if (!posix.isAbsolute(path)) {
    throw new RuntimeError(
      'invalid-argument',
      `seccomp: localhost profile ${JSON.stringify(reference)} is no absolute path`,
    );
  }
  return { type: 'localhost', path };
}

/**
 * The `seccomp` object for a container with the capabilities in `granted`.
 * Undefined when it is unconfined. Throws `failed-precondition` where a
 * profile is wanted and the host or the runtime has no seccomp.
 */
export function seccompOf(
  request: SeccompRequest,
  host: Pick<HostFacts, 'seccomp' | 'arch' | 'kernel'>,
  granted: readonly string[],
  localhostProfile?: SeccompProfile,
): OciSeccomp | undefined {
  if (request.type === 'unconfined') {
    return undefined;
  }
  if (!host.seccomp) {
    throw new RuntimeError('failed-precondition', 'seccomp: not supported on this host');
  }
  const profile = request.type === 'localhost' ? localhostProfile : defaultProfile;
  if (profile === undefined) {
    throw new RuntimeError('internal', 'seccomp: the localhost profile was not read');
  }
  return resolveSeccomp(profile, { ...host, capabilities: granted });
}
