import { toJson } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import { ContainerConfigSchema, PodSandboxConfigSchema } from '@gantry/proto';
import { parsePrefix } from '../ids.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { DiagnosticsMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
}

/**
 * Tells what is known of a pod or container, also of one that failed to be made
 * or is gone, as JSON:
 * `{id, kind, phase, facts, config, operations: [{kind, begunAt, endedAt, outcome, error, trail}]}`,
 * of a pod with `containers: [{id, kind, name, phase, facts, operations}]`, those that are gone
 * among them as far as operations on them are known.
 */
export function explain({ records }: Deps): DiagnosticsMethod<'explain'> {
  return ({ id: text }) => {
    const id = idLike(records, text);
    const record = recordOf(records, id);
    const explanation = {
      id,
      ...record,
      operations: records.journal.of(id),
      ...(record.kind !== 'container' && { containers: containersOf(records, id) }),
    };
    const json = JSON.stringify(explanation, (_, value: unknown) =>
      typeof value === 'bigint' ? value.toString() : value,
    );
    return Promise.resolve({ json });
  };
}

function idLike(records: Records, text: string): string {
  const prefix = parsePrefix('object', text);
  const ids = new Set<string>(prefix === undefined ? [] : records.journal.objectsLike(prefix));
  for (const found of [records.findSandbox(text), records.findContainer(text)]) {
    if (found !== undefined) {
      ids.add(found.id);
    }
  }
  const [id, second] = ids;
  if (id === undefined) {
    throw new RuntimeError('not-found', `${text}: no such pod or container`);
  }
  if (second !== undefined) {
    throw new RuntimeError('invalid-argument', `id "${text}": more than one begins so`);
  }
  return id;
}

/** In the order of the operations on them. */
function containersOf(records: Records, sandboxId: string): object[] {
  const operations = Map.groupBy(
    records.journal.ofContainers(sandboxId),
    ({ objectId }) => objectId,
  );
  const live = new Map<string, Container>(
    records.containers.ofSandbox(sandboxId).map((container) => [container.id, container]),
  );
  return [...new Set([...operations.keys(), ...live.keys()])].map((id) => {
    const container = live.get(id);
    return {
      id,
      ...(container === undefined
        ? { kind: 'gone' }
        : {
            kind: 'container',
            name: container.config.metadata?.name ?? '',
            phase: container.phase,
            facts: container.facts,
          }),
      operations: operations.get(id) ?? [],
    };
  });
}

function recordOf(records: Records, id: string) {
  const sandbox = records.sandboxes.find(id);
  if (sandbox !== undefined) {
    const { phase, facts } = sandbox;
    return {
      kind: 'sandbox' as const,
      phase,
      facts,
      config: toJson(PodSandboxConfigSchema, sandbox.config, { useProtoFieldName: true }),
    };
  }
  const container = records.containers.find(id);
  if (container !== undefined) {
    const { phase, facts, sandboxId } = container;
    // Not the environment: it holds secrets, and this goes into bug reports.
    const { envs, ...config } = container.config;
    const shown = { ...config, envs: [] };
    return {
      kind: 'container' as const,
      sandboxId,
      phase,
      facts,
      envCount: envs.length,
      config: toJson(ContainerConfigSchema, shown, { useProtoFieldName: true }),
    };
  }
  return { kind: 'gone' as const };
}
