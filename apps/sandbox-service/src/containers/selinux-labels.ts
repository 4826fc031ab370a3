import { RuntimeError } from '@gantry/errors';
import { containerLabels, type SelinuxLabels, type SelinuxOptions } from '@gantry/oci-spec';
import type { Mounts } from '../ports.ts';
import type { Container } from '../store/container-store.ts';
import type { Sandbox } from '../store/sandbox-store.ts';

interface Security {
  readonly privileged: boolean;
  readonly selinuxOptions?: SelinuxOptions | undefined;
}

/** The SELinux labels of a container; undefined in pods that have none. */
export function selinuxLabelsOf(
  { config }: Pick<Container, 'config'>,
  { facts }: Pick<Sandbox, 'facts'>,
): SelinuxLabels | undefined {
  return facts.selinux === undefined
    ? undefined
    : containerLabels(facts.selinux, config.linux?.securityContext?.selinuxOptions);
}

/**
 * Throws `invalid-argument` for labels that the policy in force does not have: a
 * mount or the OCI runtime would only say that an argument is invalid. Labels
 * that nobody asked for are the policy's own.
 */
export async function requireKnownLabels(
  { knowsLabel }: Pick<Mounts, 'knowsLabel'>,
  labels: SelinuxLabels | undefined,
  security: Security | undefined,
): Promise<void> {
  if (labels === undefined || security?.selinuxOptions === undefined) {
    return;
  }
  const used = security.privileged ? [labels.mount] : [labels.mount, labels.process];
  for (const label of used) {
    if (!(await knowsLabel(label))) {
      throw new RuntimeError(
        'invalid-argument',
        `selinux_options: the policy of this host has no ${label}`,
      );
    }
  }
}
