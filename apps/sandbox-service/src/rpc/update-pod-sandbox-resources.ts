import { kindOf, RuntimeError } from '@gantry/errors';
import { shortId } from '../ids.ts';
import type { Plugins } from '../nri/plugins.ts';
import type { PodLock } from '../pods/pod-lock.ts';
import type { Specs } from '../specs/specs.ts';
import type { Records } from '../store/records.ts';
import { writeResources } from '../store/updated-resources.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Records;
  readonly podLock: PodLock;
  readonly specs: Pick<Specs, 'limits'>;
  readonly plugins: Pick<Plugins, 'updatingPod' | 'updatedPod'>;
}

/**
 * Keeps what a pod's containers may use together, for those who ask: the
 * cgroup of the pod is the kubelet's own. What is left out stays as it was.
 */
export function updatePodSandboxResources(deps: Deps): RuntimeMethod<'updatePodSandboxResources'> {
  const { records, podLock, specs, plugins } = deps;
  return async (request, { signal }) => {
    const { podSandboxId, overhead, resources } = request;
    const { id } = records.getSandbox(podSandboxId);
    // Only to have nonsense refused.
    for (const [field, limits] of Object.entries({ overhead, resources })) {
      try {
        await specs.limits(limits);
      } catch (cause) {
        const doing = `update resources of pod sandbox ${shortId(id)}: ${field}`;
        throw new RuntimeError(kindOf(cause), doing, { cause });
      }
    }
    const write = async () => {
      await plugins.updatingPod(id, request);
      records.sandboxes.update(id, {
        facts: {
          ...(overhead === undefined ? {} : { overhead: writeResources(overhead) }),
          ...(resources === undefined ? {} : { resources: writeResources(resources) }),
        },
      });
    };
    await podLock.run(id, write, { signal });
    await plugins.updatedPod(id);
    return {};
  };
}
