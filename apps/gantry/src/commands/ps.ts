import { type Container, ContainerState, ListContainersResponseSchema } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import { findPod } from '../cri/find-id.ts';
import { labelSelector } from '../filters.ts';
import { flag, type Invocation, option } from '../invocation.ts';
import { formatted, messageJson, outputFormat } from '../output/format.ts';
import { shortId } from '../output/size.ts';
import { table } from '../output/table.ts';
import { agoNanos } from '../output/time.ts';

const states: Readonly<Record<ContainerState, string>> = {
  [ContainerState.CONTAINER_CREATED]: 'Created',
  [ContainerState.CONTAINER_RUNNING]: 'Running',
  [ContainerState.CONTAINER_EXITED]: 'Exited',
  [ContainerState.CONTAINER_UNKNOWN]: 'Unknown',
};

/** `gantry ps`: running containers, or with --all every one, the newest first. */
export async function ps(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const { signal } = invocation;
  const pod = option(invocation, 'pod');
  const response = await cri.runtime.listContainers(
    {
      filter: {
        ...(flag(invocation, 'all') ? {} : { state: { state: ContainerState.CONTAINER_RUNNING } }),
        ...(pod === undefined ? {} : { podSandboxId: await findPod(cri, pod, signal) }),
        labelSelector: labelSelector(invocation),
      },
    },
    { signal },
  );
  const name = option(invocation, 'name');
  response.containers = response.containers
    .filter((c) => name === undefined || (c.metadata?.name ?? '').includes(name))
    .sort((a, b) => Number(b.createdAt - a.createdAt));
  if (flag(invocation, 'quiet')) {
    invocation.out(response.containers.map((c) => `${c.id}\n`).join(''));
    return;
  }
  const format = outputFormat(invocation);
  if (format !== 'table') {
    invocation.out(formatted(format, messageJson(ListContainersResponseSchema, response)));
    return;
  }
  const { items } = await cri.runtime.listPodSandbox({}, { signal });
  const podNames = new Map(items.map((item) => [item.id, item.metadata?.name ?? '']));
  invocation.out(
    table(
      ['CONTAINER', 'IMAGE', 'CREATED', 'STATE', 'NAME', 'ATTEMPT', 'POD ID', 'POD'],
      response.containers.map((c) => row(c, podNames)),
    ),
  );
}

function row(container: Container, podNames: ReadonlyMap<string, string>): string[] {
  const image = container.image?.userSpecifiedImage || container.image?.image || '';
  return [
    shortId(container.id),
    /^(sha256:)?[0-9a-f]{64}$/.test(image) ? shortId(image) : image,
    agoNanos(container.createdAt),
    states[container.state] ?? 'Unknown',
    container.metadata?.name ?? '',
    String(container.metadata?.attempt ?? 0),
    shortId(container.podSandboxId),
    podNames.get(container.podSandboxId) ?? '',
  ];
}
