import { toJson } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import { ContainerConfigSchema, PodSandboxConfigSchema } from '@gantry/proto';
import { parsePrefix } from '../ids.ts';
import type { Records } from '../store/records.ts';
import type { DiagnosticsMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
}

/**
 * Tells what is known of a pod or container, also of one that failed to be made
 * or is gone, as JSON:
 * `{id, kind, phase, facts, config, operations: [{kind, begunAt, endedAt, outcome, error, trail}]}`.
 */
export function explain({ records }: Deps): DiagnosticsMethod<'explain'> {
  return ({ id: text }) => {
    const id = idLike(records, text);
    const record = recordOf(records, id);
    const operations = records.journal.of(id);
    const json = JSON.stringify({ id, ...record, operations }, (_, value: unknown) =>
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

function recordOf(records: Records, id: string): object {
  const sandbox = records.sandboxes.find(id);
  if (sandbox !== undefined) {
    const { phase, facts } = sandbox;
    return {
      kind: 'sandbox',
      phase,
      facts,
      config: toJson(PodSandboxConfigSchema, sandbox.config, { useProtoFieldName: true }),
      containers: records.containers.ofSandbox(id).map((container) => container.id),
    };
  }
  const container = records.containers.find(id);
  if (container !== undefined) {
    const { phase, facts, sandboxId } = container;
    // Not the environment: it holds secrets, and this goes into bug reports.
    const { envs, ...config } = container.config;
    const shown = { ...config, envs: [] };
    return {
      kind: 'container',
      sandboxId,
      phase,
      facts,
      envCount: envs.length,
      config: toJson(ContainerConfigSchema, shown, { useProtoFieldName: true }),
    };
  }
  return { kind: 'gone' };
}
