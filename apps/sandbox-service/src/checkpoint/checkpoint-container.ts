import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { create, toJson } from '@bufbuild/protobuf';
import { kindOf, RuntimeError } from '@gantry/errors';
import { ContainerStatusSchema } from '@gantry/proto';
import { containerStatus } from '../containers/container-view.ts';
import type { Handlers } from '../handlers.ts';
import { shortId } from '../ids.ts';
import type { Paths } from '../paths.ts';
import { readSpec } from '../pods/pod-steps.ts';
import type { CallOptions, Clock, Runtime } from '../ports.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import { type ConfigDump, copyIfThere, packRoot, writeArchive, writeDump } from './archive.ts';

export interface CheckpointDeps {
  readonly records: Records;
  readonly paths: Paths;
  readonly runtime: Pick<Runtime, 'checkpoint'>;
  readonly handlers: Handlers;
  readonly clock: Clock;
}

/**
 * Writes what a running container is and has in memory to a tar file; it runs
 * on. The lock of its pod is held. A failure leaves nothing but the container.
 */
export async function checkpointContainer(
  deps: CheckpointDeps,
  id: string,
  location: string,
  options: CallOptions = {},
): Promise<void> {
  const doing = `checkpoint container ${shortId(id)}`;
  const container = deps.records.containers.get(id);
  if (container.phase !== 'running') {
    const message = `${doing}: it is ${container.phase}, not running`;
    throw new RuntimeError('failed-precondition', message);
  }
  const directory = deps.paths.checkpoint(id);
  try {
    // One that a crash cut off may have left something.
    await rm(directory, { recursive: true, force: true });
    await mkdir(join(directory, 'checkpoint'), { recursive: true, mode: 0o700 });
    const paths = { imageDir: join(directory, 'checkpoint'), workDir: directory };
    const handler = deps.handlers.get(container.facts.handler);
    await deps.runtime.checkpoint(handler, id, paths, options);
    await describe(deps, container, directory, options);
    await writeArchive(directory, location, options);
  } catch (cause) {
    throw new RuntimeError(kindOf(cause), doing, { cause });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function describe(
  { paths, clock }: CheckpointDeps,
  container: Container,
  directory: string,
  options: CallOptions,
): Promise<void> {
  const { id, facts } = container;
  const status = create(ContainerStatusSchema, containerStatus(container));
  await Promise.all([
    writeDump(directory, 'config.dump', configDump(container, clock())),
    writeDump(directory, 'spec.dump', (await readSpec(paths, id)) ?? null),
    writeDump(directory, 'status.dump', toJson(ContainerStatusSchema, status)),
    facts.logPath && copyIfThere(facts.logPath, join(directory, 'container.log')),
    facts.upperDir && packRoot(facts.upperDir, join(directory, 'rootfs-diff.tar'), options),
  ]);
}

function configDump({ id, config, facts }: Container, nowNanos: bigint): ConfigDump {
  const rootfsImage = config.image?.image ?? '';
  return {
    id,
    name: config.metadata?.name ?? id,
    rootfsImage,
    rootfsImageRef: facts.image?.id ?? '',
    rootfsImageName: facts.image?.repoTags[0] ?? rootfsImage,
    runtime: facts.handler,
    createdTime: timeOf(facts.createdAtNanos),
    checkpointedTime: timeOf(nowNanos),
    restored: facts.restored === true,
  };
}

function timeOf(nanos: bigint): string {
  return new Date(Number(nanos / 1_000_000n)).toISOString();
}
