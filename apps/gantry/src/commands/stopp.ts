import { connect } from '../cri/connection.ts';
import { findPod } from '../cri/find-id.ts';
import { forEachNamed } from '../each.ts';
import type { Invocation } from '../invocation.ts';

/** `gantry stopp POD...` */
export async function stopp(invocation: Invocation): Promise<number> {
  using cri = connect(invocation);
  const { signal } = invocation;
  return await forEachNamed(invocation, invocation.args, async (text) => {
    const podSandboxId = await findPod(cri, text, signal);
    await cri.runtime.stopPodSandbox({ podSandboxId }, { signal });
    return `Stopped sandbox ${podSandboxId}`;
  });
}
