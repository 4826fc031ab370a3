import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type PodSandboxFilter,
  type PodSandboxSchema,
  PodSandboxState,
  type PodSandboxStatusSchema,
} from '@gantry/proto';
import type { Sandbox } from '../store/sandbox-store.ts';

export function podState(sandbox: Sandbox): PodSandboxState {
  return sandbox.phase === 'ready'
    ? PodSandboxState.SANDBOX_READY
    : PodSandboxState.SANDBOX_NOTREADY;
}

/** A pod as lists show it. */
export function podItem(sandbox: Sandbox): MessageInitShape<typeof PodSandboxSchema> {
  return common(sandbox);
}

function common(sandbox: Sandbox) {
  const { id, config, facts } = sandbox;
  return {
    id,
    ...(config.metadata === undefined ? {} : { metadata: config.metadata }),
    state: podState(sandbox),
    createdAt: facts.createdAtNanos,
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: facts.requestedHandler,
  };
}

/** A pod as PodSandboxStatus shows it. Its addresses stay until it is stopped. */
export function podStatus(sandbox: Sandbox): MessageInitShape<typeof PodSandboxStatusSchema> {
  const { config, facts, phase } = sandbox;
  const ips = phase === 'stopped' ? [] : (facts.attachment?.ips ?? []);
  const [ip = '', ...additional] = ips;
  const options = config.linux?.securityContext?.namespaceOptions;
  return {
    ...common(sandbox),
    network: { ip, additionalIps: additional.map((other) => ({ ip: other })) },
    linux: { namespaces: { ...(options === undefined ? {} : { options }) } },
  };
}

/** Whether all conditions of a filter hold; the id may be a prefix. */
export function podMatches(sandbox: Sandbox, filter: PodSandboxFilter | undefined): boolean {
  if (sandbox.phase === 'creating') {
    return false;
  }
  return (
    filter === undefined ||
    (sandbox.id.startsWith(filter.id) &&
      (filter.state === undefined || filter.state.state === podState(sandbox)) &&
      hasLabels(sandbox.config.labels, filter.labelSelector))
  );
}

/** Whether `labels` has every pair of `selector`. */
export function hasLabels(
  labels: Readonly<Record<string, string>>,
  selector: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(selector).every(
    ([key, value]) => Object.hasOwn(labels, key) && labels[key] === value,
  );
}

/** Newest first. */
export function byAge(
  a: { readonly facts: { readonly createdAtNanos: bigint } },
  b: { readonly facts: { readonly createdAtNanos: bigint } },
): number {
  return Number(b.facts.createdAtNanos - a.facts.createdAtNanos);
}
