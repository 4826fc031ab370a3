import { readFileSync } from 'node:fs';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import { formatReference, parseReference } from '@gantry/oci';
import { type AuthConfigSchema, PodSandboxConfigSchema } from '@gantry/proto';
import { readConfigFile } from '../cri/config-file.ts';
import { type CriConnection, connect } from '../cri/connection.ts';
import { argument, type Invocation, option } from '../invocation.ts';
import { pullLines } from '../output/pull-lines.ts';
import { Repainter } from '../output/repainter.ts';

const barIntervalMs = 200;

/** `gantry pull IMAGE`: shows how far it is, waits until the image is there, and prints its reference. */
export async function pull(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const image = argument(invocation, 0);
  const auth = authOf(option(invocation, 'creds'), option(invocation, 'credsFile'));
  const podFile = option(invocation, 'podConfig');
  const request = {
    image: { image },
    ...(auth === undefined ? {} : { auth }),
    ...(podFile === undefined
      ? {}
      : { sandboxConfig: readConfigFile(PodSandboxConfigSchema, podFile, invocation.note) }),
  };
  // What is said after them would be wiped with the bars.
  const bars = showBars(cri, image);
  const { imageRef } = await cri.images
    .pullImage(request, { signal: invocation.signal })
    .finally(() => bars[Symbol.dispose]());
  invocation.out(`Image is up to date for ${imageRef}\n`);
}

/** On a terminal, a bar for each layer until it is disposed of. */
function showBars(cri: CriConnection, image: string): Disposable {
  const bars = new DisposableStack();
  if (process.stderr.isTTY) {
    const full = formatReference(parseReference(image));
    const paper = bars.use(new Repainter(process.stderr));
    const timer = setInterval(() => {
      cri.imageAdmin.listPulls({}).then(
        ({ pulls }) => {
          const pull = pulls.find((one) => one.image === full);
          if (pull !== undefined && !bars.disposed) {
            paper.paint(pullLines(pull));
          }
        },
        // What is wrong is told by the pull itself.
        () => undefined,
      );
    }, barIntervalMs);
    bars.defer(() => {
      clearInterval(timer);
    });
  }
  return bars;
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
