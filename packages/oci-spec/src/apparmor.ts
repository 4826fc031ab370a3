import { RuntimeError } from '@gantry/errors';
import { SecurityProfile_ProfileType as ProfileType, type SecurityProfile } from '@gantry/proto';
import type { HostFacts } from './spec-input.ts';

/** The fields of a security context that say which AppArmor profile is wanted. */
export interface AppArmorFields {
  readonly privileged: boolean;
  readonly apparmor?: SecurityProfile | undefined;
  /** The deprecated string; counts only where `apparmor` is not given. */
  readonly apparmorProfile?: string;
}

type Request = 'unspecified' | 'runtime-default' | 'unconfined' | { readonly name: string };

/**
 * The AppArmor profile to run under; undefined for none. Where AppArmor is on,
 * a container that says nothing gets the default profile if that is loaded,
 * unless it is privileged. Throws `failed-precondition` where a profile is
 * asked for and AppArmor is off or does not know it.
 */
export function apparmorProfileOf(
  fields: AppArmorFields,
  appArmor: HostFacts['appArmor'],
): string | undefined {
  const request = requestOf(fields);
  if (appArmor === undefined) {
    if (request !== 'unspecified' && request !== 'unconfined') {
      throw new RuntimeError('failed-precondition', 'apparmor: not supported on this host');
    }
    return undefined;
  }
  if (request === 'unconfined') {
    return undefined;
  }
  if (typeof request !== 'string') {
    return loaded(request.name, appArmor);
  }
  const { defaultProfile, profiles } = appArmor;
  // Runtimes fail on a profile that is not there: who asked for none must not suffer from that.
  if (fields.privileged || (request === 'unspecified' && !profiles.includes(defaultProfile))) {
    return undefined;
  }
  return loaded(defaultProfile, appArmor);
}

function loaded(name: string, { profiles }: NonNullable<HostFacts['appArmor']>): string {
  if (!profiles.includes(name)) {
    throw new RuntimeError(
      'failed-precondition',
      `apparmor: profile ${JSON.stringify(name)} is not loaded`,
    );
  }
  return name;
}

function requestOf({ apparmor, apparmorProfile = '' }: AppArmorFields): Request {
  switch (apparmor?.profileType) {
    case undefined:
      return requestOfText(apparmorProfile);
    case ProfileType.RuntimeDefault:
      return 'runtime-default';
    case ProfileType.Unconfined:
      return 'unconfined';
    case ProfileType.Localhost:
      return named(apparmor.localhostRef);
    default:
      throw new RuntimeError('invalid-argument', 'apparmor: unknown profile type');
  }
}

function requestOfText(text: string): Request {
  switch (text) {
    case '':
      return 'unspecified';
    case 'runtime/default':
    case 'docker/default':
      return 'runtime-default';
    case 'unconfined':
      return 'unconfined';
    default:
      if (!text.startsWith(prefix)) {
        throw new RuntimeError(
          'invalid-argument',
          `apparmor_profile: ${JSON.stringify(text)} does not begin with ${prefix}`,
        );
      }
      return named(text);
  }
}

const prefix = 'localhost/';

function named(reference: string): Request {
  const name = reference.startsWith(prefix) ? reference.slice(prefix.length) : reference;
  if (name === '') {
    throw new RuntimeError('invalid-argument', 'apparmor: localhost profile without a name');
  }
  return { name };
}
