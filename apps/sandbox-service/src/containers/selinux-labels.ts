import { containerLabels, type SelinuxLabels } from '@gantry/oci-spec';
import type { Container } from '../store/container-store.ts';
import type { Sandbox } from '../store/sandbox-store.ts';

/** The SELinux labels of a container; undefined in pods that have none. */
export function selinuxLabelsOf(
  { config }: Pick<Container, 'config'>,
  { facts }: Pick<Sandbox, 'facts'>,
): SelinuxLabels | undefined {
  return facts.selinux === undefined
    ? undefined
    : containerLabels(facts.selinux, config.linux?.securityContext?.selinuxOptions);
}
