import { PodSandboxStatusSchema } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import { findPod } from '../cri/find-id.ts';
import { argument, type Invocation } from '../invocation.ts';
import { documentFormat, formatted, messageJson, parsedInfo, withDates } from '../output/format.ts';

/** `gantry inspectp POD`: its status, and what the service adds when it is asked for more. */
export async function inspectp(invocation: Invocation): Promise<void> {
  const format = documentFormat(invocation);
  using cri = connect(invocation);
  const { signal } = invocation;
  const podSandboxId = await findPod(cri, argument(invocation, 0), signal);
  const { status, info } = await cri.runtime.podSandboxStatus(
    { podSandboxId, verbose: true },
    { signal },
  );
  const shown = {
    status: status && withDates(messageJson(PodSandboxStatusSchema, status), ['createdAt']),
    ...parsedInfo(info),
  };
  invocation.out(formatted(format, shown));
}
