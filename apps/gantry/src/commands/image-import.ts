import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { connect } from '../cri/connection.ts';
import { argument, type Invocation, option } from '../invocation.ts';

/** `gantry image import FILE`: an OCI layout (directory or tar) or a docker-archive tar. */
export async function imageImport(invocation: Invocation): Promise<void> {
  const path = resolve(argument(invocation, 0));
  if (!existsSync(path)) {
    throw new RuntimeError('not-found', `import ${path}: there is no such file or directory`);
  }
  using cri = connect(invocation);
  const { images } = await cri.importer.importImage(
    { path, name: option(invocation, 'name') ?? '' },
    { signal: invocation.signal },
  );
  for (const image of images) {
    invocation.out(`${image.names.join(', ') || '<none>'}  ${image.id}\n`);
  }
}
