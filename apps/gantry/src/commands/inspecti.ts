import { RuntimeError } from '@gantry/errors';
import { ImageSchema } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import { argument, type Invocation } from '../invocation.ts';
import { documentFormat, formatted, messageJson, parsedInfo } from '../output/format.ts';

/** `gantry inspecti IMAGE`: names, size, config. */
export async function inspecti(invocation: Invocation): Promise<void> {
  const format = documentFormat(invocation);
  using cri = connect(invocation);
  const image = argument(invocation, 0);
  const answer = await cri.images.imageStatus(
    { image: { image }, verbose: true },
    { signal: invocation.signal },
  );
  if (answer.image === undefined) {
    throw new RuntimeError('not-found', `image ${image}: not found`);
  }
  const shown = {
    status: messageJson(ImageSchema, answer.image),
    ...parsedInfo(answer.info),
  };
  invocation.out(formatted(format, shown));
}
