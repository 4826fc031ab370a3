import { readFileSync } from 'node:fs';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import { type AuthConfigSchema, PodSandboxConfigSchema } from '@gantry/proto';
import { readConfigFile } from '../cri/config-file.ts';
import { connect } from '../cri/connection.ts';
import { argument, type Invocation, option } from '../invocation.ts';

/** `gantry pull IMAGE`: waits until the image is there, and prints its reference. */
export async function pull(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const image = argument(invocation, 0);
  const auth = authOf(option(invocation, 'creds'), option(invocation, 'credsFile'));
  const podFile = option(invocation, 'podConfig');
  const { imageRef } = await cri.images.pullImage(
    {
      image: { image },
      ...(auth === undefined ? {} : { auth }),
      ...(podFile === undefined
        ? {}
        : { sandboxConfig: readConfigFile(PodSandboxConfigSchema, podFile, invocation.note) }),
    },
    { signal: invocation.signal },
  );
  invocation.out(`Image is up to date for ${imageRef}\n`);
}

/** From `user:password`; in a file it does not show in the list of processes. */
export function authOf(
  given: string | undefined,
  file: string | undefined,
): MessageInitShape<typeof AuthConfigSchema> | undefined {
  const text = given ?? (file === undefined ? undefined : readFileSync(file, 'utf8').trim());
  if (text === undefined) {
    return undefined;
  }
  const colon = text.indexOf(':');
  if (colon < 1) {
    throw new RuntimeError('invalid-argument', 'credentials: must be user:password');
  }
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
