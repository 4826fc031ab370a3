import { toJson } from '@bufbuild/protobuf';
import { ContainerConfigSchema } from '@gantry/proto';
import { containerStatus } from '../containers/container-view.ts';
import type { Paths } from '../paths.ts';
import { readSpec } from '../pods/pod-steps.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly paths: Paths;
}

export function containerStatusMethod(deps: Deps): RuntimeMethod<'containerStatus'> {
  return async ({ containerId, verbose }) => {
    const container = deps.records.getContainer(containerId);
    return {
      status: containerStatus(container),
      info: verbose ? { info: JSON.stringify(await details(deps, container)) } : {},
    };
  };
}

/** What containerd and CRI-O tell under the same keys, as far as we have such a thing. */
async function details({ paths, records }: Deps, container: Container): Promise<object> {
  const { id, sandboxId, config, facts, phase } = container;
  return {
    sandboxID: sandboxId,
    pid: phase === 'running' ? (facts.init?.pid ?? 0) : 0,
    removing: records.journal
      .open(sandboxId)
      .some(({ kind, objectId }) => kind === 'remove-container' && objectId === id),
    snapshotKey: id,
    snapshotter: 'overlayfs',
    runtimeType: facts.handler,
    runtimeOptions: null,
    restored: facts.restored === true,
    privileged: config.linux?.securityContext?.privileged === true,
    config: toJson(ContainerConfigSchema, config, { useProtoFieldName: true }),
    runtimeSpec: (await readSpec(paths, id)) ?? null,
  };
}
