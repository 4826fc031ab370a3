import { RuntimeError } from '@gantry/errors';
import { ContainerState } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import { findContainer } from '../cri/find-id.ts';
import { forEachNamed } from '../each.ts';
import { flag, type Invocation } from '../invocation.ts';

/** `gantry rm [--force] CONTAINER...`: a running one needs --force, as of crictl; in the CRI it does not. */
export async function rm(invocation: Invocation): Promise<number> {
  using cri = connect(invocation);
  const { signal } = invocation;
  return await forEachNamed(invocation, invocation.args, async (text) => {
    const containerId = await findContainer(cri, text, signal);
    if (!flag(invocation, 'force')) {
      const { status } = await cri.runtime.containerStatus({ containerId }, { signal });
      if (status?.state === ContainerState.CONTAINER_RUNNING) {
        throw new RuntimeError(
          'failed-precondition',
          `remove container ${text}: it is running. Stop it first, or use --force`,
        );
      }
    }
    await cri.runtime.removeContainer({ containerId }, { signal });
    return text;
  });
}
