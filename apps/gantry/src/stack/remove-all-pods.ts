import type { Config } from '@gantry/config';
import { listCgroupProcesses, removeCgroup } from '@gantry/host';
import { RuntimeService } from '@gantry/proto';
import { dial } from '@gantry/rpc';

const atOnce = 4;

/**
 * Stops and removes every pod of a stack that is up, through its socket, and
 * the cgroup that they were under, unless another stack has pods there. Gives
 * how many pods there were.
 */
export async function removeAllPods(config: Config, signal: AbortSignal): Promise<number> {
  using connection = dial(config.grpc.socket);
  const runtime = connection.client(RuntimeService);
  const { items } = await runtime.listPodSandbox({}, { signal });
  const queue = items.map((pod) => pod.id);
  const work = async (): Promise<void> => {
    for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
      await runtime.stopPodSandbox({ podSandboxId: id }, { signal });
      await runtime.removePodSandbox({ podSandboxId: id }, { signal });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  if ((await listCgroupProcesses(config.pods.cgroup_parent)).length === 0) {
    await removeCgroup(config.pods.cgroup_parent);
  }
  return items.length;
}
