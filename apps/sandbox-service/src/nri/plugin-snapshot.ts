import type { MessageInitShape } from '@bufbuild/protobuf';
import type { SnapshotResponseSchema } from '@gantry/proto/nri-broker';
import type { Paths } from '../paths.ts';
import type { Records } from '../store/records.ts';
import { containerMessage, podMessage } from './plugin-messages.ts';

/** What a plugin is told when it comes, and what has stopped; `late` are those removed without a word to plugins. */
export async function pluginSnapshot(
  records: Records,
  paths: Paths,
  late: { readonly stopping: readonly string[]; readonly stopped: readonly string[] },
): Promise<MessageInitShape<typeof SnapshotResponseSchema>> {
  const pods = records.sandboxes
    .list()
    .filter(({ phase, facts }) => isPod(phase) && facts.plugins !== 'stopped');
  const known = new Set(pods.map(({ id }) => id));
  const containers = records.containers.list();
  const exited = containers.filter(({ phase }) => phase === 'exited');
  return {
    pods: await Promise.all(pods.map((pod) => podMessage(paths, pod))),
    containers: await Promise.all(
      containers
        .filter(({ phase, sandboxId }) => isLive(phase) && known.has(sandboxId))
        .map((container) => containerMessage(paths, container)),
    ),
    stopping: [
      ...exited.filter(({ facts }) => facts.plugins === 'told').map(({ id }) => id),
      ...late.stopping,
    ],
    stopped: [
      ...[...exited, ...records.sandboxes.list()]
        .filter(({ facts }) => facts.plugins === 'stopped')
        .map(({ id }) => id),
      ...late.stopped,
    ],
  };
}

function isPod(phase: string): boolean {
  return phase === 'ready' || phase === 'notready';
}

function isLive(phase: string): boolean {
  return phase === 'created' || phase === 'running';
}
