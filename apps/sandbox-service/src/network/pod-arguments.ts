import { quote, RuntimeError } from '@gantry/errors';
import type { PodNetwork } from '../ports.ts';
import { parseBandwidth } from './bandwidth.ts';
import type { PluginConfig } from './network-config.ts';

/** What the runtime can tell plugins that declare the capability of the same name (CNI conventions). */
export type CapabilityValues = Readonly<Record<string, unknown>>;

/**
 * The value of CNI_ARGS. Names come from outside, and one with a separator in it could set another
 * key, so that is `invalid-argument`.
 */
export function cniArgs(pod: PodNetwork): string {
  const pairs = [
    ['K8S_POD_NAMESPACE', pod.namespace],
    ['K8S_POD_NAME', pod.name],
    ['K8S_POD_INFRA_CONTAINER_ID', pod.sandboxId],
    ['K8S_POD_UID', pod.uid],
  ] as const;
  for (const [key, value] of pairs) {
    if (/[;=\p{Cc}]/u.test(value)) {
      const message = `pod ${pod.sandboxId}: ${key} ${quote(value)} has a ; or = or control character in it`;
      throw new RuntimeError('invalid-argument', message);
    }
  }
  return ['IgnoreUnknown=1', ...pairs.map(([key, value]) => `${key}=${value}`)].join(';');
}

/** Everything that the pod gives plugins; a bandwidth annotation that cannot be read is `invalid-argument`. */
export function capabilityValues(pod: PodNetwork): CapabilityValues {
  const bandwidth = parseBandwidth(pod.annotations);
  return {
    ...(pod.portMappings.length === 0
      ? {}
      : {
          portMappings: pod.portMappings.map(({ hostIp, ...rest }) => ({
            ...rest,
            hostIP: hostIp,
          })),
        }),
    ...(bandwidth === undefined ? {} : { bandwidth }),
    ...(pod.dns === undefined ? {} : { dns: pod.dns }),
    ...(pod.cgroupParent === '' ? {} : { cgroupPath: pod.cgroupParent }),
    'io.kubernetes.cri.pod-annotations': pod.annotations,
  };
}

/** The `runtimeConfig` of one plugin: the values of the capabilities that it declares; undefined when none. */
export function runtimeConfigOf(
  plugin: PluginConfig,
  values: CapabilityValues,
): Record<string, unknown> | undefined {
  const declared = Object.entries(plugin.capabilities ?? {}).filter(([, wanted]) => wanted);
  const entries = declared.flatMap(([name]) =>
    Object.hasOwn(values, name) ? [[name, values[name]] as const] : [],
  );
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
