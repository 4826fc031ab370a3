import { RuntimeError } from '@gantry/errors';
import { PodSandboxState } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import { findPod } from '../cri/find-id.ts';
import { forEachNamed } from '../each.ts';
import { flag, type Invocation } from '../invocation.ts';

/** `gantry rmp [--force] POD...`: with its containers; one that is ready needs --force. */
export async function rmp(invocation: Invocation): Promise<number> {
  using cri = connect(invocation);
  const { signal } = invocation;
  return await forEachNamed(invocation, invocation.args, async (text) => {
    const podSandboxId = await findPod(cri, text, signal);
    const { status } = await cri.runtime.podSandboxStatus({ podSandboxId }, { signal });
    if (status?.state === PodSandboxState.SANDBOX_READY) {
      if (!flag(invocation, 'force')) {
        throw new RuntimeError(
          'failed-precondition',
          `remove pod ${text}: it is running. Stop it first, or use --force`,
        );
      }
      await cri.runtime.stopPodSandbox({ podSandboxId }, { signal });
    }
    await cri.runtime.removePodSandbox({ podSandboxId }, { signal });
    return `Removed sandbox ${podSandboxId}`;
  });
}
