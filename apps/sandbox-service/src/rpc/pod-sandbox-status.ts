import { toJson } from '@bufbuild/protobuf';
import {
  type LinuxContainerResources,
  LinuxContainerResourcesSchema,
  PodSandboxConfigSchema,
} from '@gantry/proto';
import { containerStatuses } from '../containers/container-view.ts';
import type { Paths } from '../paths.ts';
import { readSpec } from '../pods/pod-steps.ts';
import { podStatus } from '../pods/pod-view.ts';
import type { Clock } from '../ports.ts';
import type { Records } from '../store/records.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly paths: Paths;
  readonly clock: Clock;
}

export function podSandboxStatus(deps: Deps): RuntimeMethod<'podSandboxStatus'> {
  const { records, clock } = deps;
  return async ({ podSandboxId, verbose }) => {
    // Before the records are read: a kubelet drops an event that is older than the last status it saw.
    const timestamp = clock();
    const sandbox = records.getSandbox(podSandboxId);
    const containers = records.containers.ofSandbox(sandbox.id);
    return {
      status: podStatus(sandbox),
      containersStatuses: containerStatuses(containers),
      timestamp,
      info: verbose ? { info: JSON.stringify(await details(deps, sandbox)) } : {},
    };
  };
}

/** What containerd tells under the same keys, as far as we have such a thing. */
async function details({ paths }: Deps, sandbox: Sandbox): Promise<object> {
  const { id, config, facts, phase } = sandbox;
  const configJson = toJson(PodSandboxConfigSchema, config, { useProtoFieldName: true });
  const { ips, result } = facts.attachment ?? { ips: [], result: null };
  return {
    pid: pidOf(sandbox),
    processStatus: phase === 'ready' ? 'running' : 'deleted',
    netNamespaceClosed: phase === 'stopped',
    image: facts.image?.repoTags[0] ?? facts.image?.id ?? '',
    snapshotKey: id,
    snapshotter: 'overlayfs',
    runtimeHandler: facts.requestedHandler,
    runtimeType: facts.handler,
    runtimeOptions: null,
    overhead: resourcesJson(config.linux?.overhead),
    resources: resourcesJson(config.linux?.resources),
    config: configJson,
    runtimeSpec: (await readSpec(paths, id)) ?? null,
    cniResult: result,
    sandboxMetadata: {
      ID: id,
      Name: facts.name,
      Config: configJson,
      NetNSPath: facts.hostNetwork ? '' : paths.netns(id),
      IP: ips[0] ?? '',
      AdditionalIPs: ips.slice(1),
      RuntimeHandler: facts.requestedHandler,
      CNIResult: result,
    },
  };
}

function resourcesJson(resources: LinuxContainerResources | undefined) {
  return resources === undefined
    ? null
    : toJson(LinuxContainerResourcesSchema, resources, { useProtoFieldName: true });
}

function pidOf({ phase, facts }: Sandbox): number {
  return phase === 'stopped' ? 0 : (facts.pause?.init.pid ?? 0);
}
