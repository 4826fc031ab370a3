import { RuntimeError } from '@gantry/errors';
import { connect } from '../cri/connection.ts';
import { findContainer } from '../cri/find-id.ts';
import { argument, type Invocation, numberOption } from '../invocation.ts';

/** `gantry exec CONTAINER COMMAND...`: its output when it has ended; its exit code is ours. */
export async function exec(invocation: Invocation): Promise<number> {
  using cri = connect(invocation);
  const { signal } = invocation;
  const cmd = invocation.args.slice(1);
  if (cmd.length === 0) {
    throw new RuntimeError(
      'invalid-argument',
      'exec: no command. Use: gantry exec CONTAINER COMMAND',
    );
  }
  const containerId = await findContainer(cri, argument(invocation, 0), signal);
  const timeout = BigInt(numberOption(invocation, 'timeout') ?? 0);
  const result = await cri.runtime.execSync({ containerId, cmd, timeout }, { signal });
  process.stdout.write(result.stdout);
  process.stderr.write(result.stderr);
  return result.exitCode;
}
