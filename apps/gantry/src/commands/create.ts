import { ContainerConfigSchema, PodSandboxConfigSchema } from '@gantry/proto';
import { readConfigFile } from '../cri/config-file.ts';
import { connect } from '../cri/connection.ts';
import { findPod } from '../cri/find-id.ts';
import { argument, flag, type Invocation } from '../invocation.ts';

/** `gantry create POD CONTAINER-CONFIG POD-CONFIG`: prints the id of the container. */
export async function create(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const { note, signal } = invocation;
  const config = readConfigFile(ContainerConfigSchema, argument(invocation, 1), note);
  const sandboxConfig = readConfigFile(PodSandboxConfigSchema, argument(invocation, 2), note);
  const podSandboxId = await findPod(cri, argument(invocation, 0), signal);
  if (flag(invocation, 'withPull') && config.image !== undefined) {
    await cri.images.pullImage({ image: config.image, sandboxConfig }, { signal });
  }
  const { containerId } = await cri.runtime.createContainer(
    { podSandboxId, config, sandboxConfig },
    { signal },
  );
  invocation.out(`${containerId}\n`);
}
