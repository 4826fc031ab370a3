import type { MessageInitShape } from '@bufbuild/protobuf';
import type { SnapshotResponseSchema } from '@gantry/proto/nri-broker';
import type { Paths } from '../paths.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import type { LateRemovals } from './late-removals.ts';
import { containerMessage, podMessage } from './plugin-messages.ts';

/** What a plugin is told when it comes, and what has stopped. */
export async function pluginSnapshot(
  records: Records,
  paths: Paths,
  late: Pick<LateRemovals, 'ids'>,
): Promise<MessageInitShape<typeof SnapshotResponseSchema>> {
  const sandboxes = records.sandboxes.list();
  const containers = records.containers.list();
  // Only now: one whose record has gone since would be in neither.
  const { stopping, stopped } = await late.ids();
  const pods = sandboxes.filter(({ phase, facts }) => isPod(phase) && facts.plugins !== 'stopped');
  const known = new Set(pods.map(({ id }) => id));
  const exited = containers.filter(({ phase }) => phase === 'exited');
  const podMessages = (these: readonly Sandbox[]) =>
    Promise.all(these.map((pod) => podMessage(paths, pod)));
  const containerMessages = (these: readonly Container[]) =>
    Promise.all(these.map((container) => containerMessage(paths, container)));
  return {
    pods: await podMessages(pods),
    containers: await containerMessages(
      containers.filter(({ phase, sandboxId }) => isLive(phase) && known.has(sandboxId)),
    ),
    podsInMaking: await podMessages(sandboxes.filter(isInMaking)),
    containersInMaking: await containerMessages(containers.filter(isInMaking)),
    stopping: [
      ...exited.filter(({ facts }) => facts.plugins === 'told').map(({ id }) => id),
      ...stopping,
    ],
    stopped: [
      ...[...exited, ...sandboxes]
        .filter(({ facts }) => facts.plugins === 'stopped')
        .map(({ id }) => id),
      ...stopped,
    ],
  };
}

function isPod(phase: string): boolean {
  return phase === 'ready' || phase === 'notready';
}

function isInMaking({ phase }: Sandbox | Container): boolean {
  return phase === 'creating';
}

function isLive(phase: string): boolean {
  return phase === 'created' || phase === 'running';
}
