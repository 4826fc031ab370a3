import { once } from 'node:events';
import { RuntimeError } from '@gantry/errors';
import { dialPortForward } from '@gantry/remotecommand';
import { connect } from '../cri/connection.ts';
import { findPod } from '../cri/find-id.ts';
import { argument, type Invocation, option } from '../invocation.ts';
import { Forwarder } from '../streams/forwarder.ts';
import { parsePortPair } from '../streams/port-pairs.ts';
import { transportOf } from '../streams/transport.ts';

/** `gantry port-forward POD [LOCAL:]REMOTE...`: until it is interrupted. */
export async function portForward(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const { signal } = invocation;
  const pairs = invocation.args.slice(1).map(parsePortPair);
  if (pairs.length === 0) {
    throw new RuntimeError('invalid-argument', 'port-forward: no port. Use: [LOCAL:]REMOTE');
  }
  const podSandboxId = await findPod(cri, argument(invocation, 0), signal);
  const address = option(invocation, 'address') ?? '127.0.0.1';
  const transport = transportOf(invocation);
  await using forwarder = new Forwarder({
    address,
    note: invocation.note,
    dial: async () => {
      const { url } = await cri.runtime.portForward(
        { podSandboxId, port: pairs.map(({ remote }) => remote) },
        { signal },
      );
      return dialPortForward(url, transport);
    },
  });
  await forwarder.start();
  for (const pair of pairs) {
    const local = await forwarder.listen(pair);
    invocation.out(`forwarding ${address}:${local} -> ${pair.remote}\n`);
  }
  if (!signal.aborted) {
    await once(signal, 'abort');
  }
}
