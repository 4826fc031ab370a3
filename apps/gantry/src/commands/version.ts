import { connect } from '../cri/connection.ts';
import type { Invocation } from '../invocation.ts';

/** `gantry version`: what the socket answers, in crictl's words. */
export async function version(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const answer = await cri.runtime.version({}, { signal: invocation.signal });
  invocation.out(
    [
      `Version:  ${answer.version}`,
      `RuntimeName:  ${answer.runtimeName}`,
      `RuntimeVersion:  ${answer.runtimeVersion}`,
      `RuntimeApiVersion:  ${answer.runtimeApiVersion}`,
      '',
    ].join('\n'),
  );
}
