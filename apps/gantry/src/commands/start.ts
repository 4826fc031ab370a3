import { connect } from '../cri/connection.ts';
import { findContainer } from '../cri/find-id.ts';
import { forEachNamed } from '../each.ts';
import type { Invocation } from '../invocation.ts';

/** `gantry start CONTAINER...` */
export async function start(invocation: Invocation): Promise<number> {
  using cri = connect(invocation);
  const { signal } = invocation;
  return await forEachNamed(invocation, invocation.args, async (text) => {
    const containerId = await findContainer(cri, text, signal);
    await cri.runtime.startContainer({ containerId }, { signal });
    return text;
  });
}
