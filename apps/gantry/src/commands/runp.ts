import { PodSandboxConfigSchema } from '@gantry/proto';
import { readConfigFile } from '../cri/config-file.ts';
import { connect } from '../cri/connection.ts';
import { argument, type Invocation, option } from '../invocation.ts';

/** `gantry runp POD-CONFIG`: starts a pod and prints its id. */
export async function runp(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const config = readConfigFile(PodSandboxConfigSchema, argument(invocation, 0), invocation.note);
  const { podSandboxId } = await cri.runtime.runPodSandbox(
    { config, runtimeHandler: option(invocation, 'runtime') ?? '' },
    { signal: invocation.signal },
  );
  invocation.out(`${podSandboxId}\n`);
}
