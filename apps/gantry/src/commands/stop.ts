import { connect } from '../cri/connection.ts';
import { findContainer } from '../cri/find-id.ts';
import { forEachNamed } from '../each.ts';
import { type Invocation, numberOption } from '../invocation.ts';

/** `gantry stop [--timeout S] CONTAINER...`: killed when it has not ended within the timeout. */
export async function stop(invocation: Invocation): Promise<number> {
  using cri = connect(invocation);
  const { signal } = invocation;
  const timeout = BigInt(numberOption(invocation, 'timeout') ?? 0);
  return await forEachNamed(invocation, invocation.args, async (text) => {
    const containerId = await findContainer(cri, text, signal);
    await cri.runtime.stopContainer({ containerId, timeout }, { signal });
    return text;
  });
}
