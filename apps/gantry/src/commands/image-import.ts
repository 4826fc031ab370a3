import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import type { ImportImageRequestSchema } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import { argument, type Invocation, option } from '../invocation.ts';

// Docker's, then Podman's.
const engineSockets = ['/var/run/docker.sock', '/run/podman/podman.sock'];

/** `gantry image import FILE`: an OCI layout or a docker-archive tar; or, with --from-engine, an image of an engine. */
export async function imageImport(invocation: Invocation): Promise<void> {
  const from = sourceOf(invocation);
  using cri = connect(invocation);
  const { images } = await cri.importer.importImage(
    { ...from, name: option(invocation, 'name') ?? '' },
    { signal: invocation.signal },
  );
  for (const image of images) {
    invocation.out(`${image.names.join(', ') || '<none>'}  ${image.id}\n`);
  }
}

function sourceOf(invocation: Invocation): MessageInitShape<typeof ImportImageRequestSchema> {
  const image = option(invocation, 'fromEngine');
  if (image === undefined) {
    const path = resolve(argument(invocation, 0));
    if (!existsSync(path)) {
      throw new RuntimeError('not-found', `import ${path}: there is no such file or directory`);
    }
    return { path };
  }
  if (invocation.args.length > 0) {
    throw new RuntimeError('invalid-argument', 'import: give a path or --from-engine, not both');
  }
  const given = option(invocation, 'engineSocket');
  const socket =
    given === undefined ? engineSockets.find((path) => existsSync(path)) : resolve(given);
  if (socket === undefined) {
    throw new RuntimeError(
      'failed-precondition',
      `import ${image}: no engine listens on ${engineSockets.join(' or ')}. Start it, or name its socket with --engine-socket`,
    );
  }
  return { engine: { image, socket } };
}
