import { StatusResponseSchema } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import type { Invocation } from '../invocation.ts';
import { documentFormat, formatted, messageJson, parsedInfo } from '../output/format.ts';

/** `gantry info`: the runtime's conditions and handlers, with what it says of itself. */
export async function info(invocation: Invocation): Promise<void> {
  const format = documentFormat(invocation);
  using cri = connect(invocation);
  const answer = await cri.runtime.status({ verbose: true }, { signal: invocation.signal });
  const { info: _, ...rest } = messageJson(StatusResponseSchema, answer);
  const value = { ...rest, ...parsedInfo(answer.info) };
  invocation.out(formatted(format, value));
}
