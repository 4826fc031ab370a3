import { ListPodSandboxResponseSchema, type PodSandbox, PodSandboxState } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import { labelSelector } from '../filters.ts';
import { flag, type Invocation, option } from '../invocation.ts';
import { formatted, messageJson, outputFormat } from '../output/format.ts';
import { shortId } from '../output/size.ts';
import { table } from '../output/table.ts';
import { agoNanos } from '../output/time.ts';

/** `gantry pods`: every pod, the newest first. */
export async function pods(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const response = await cri.runtime.listPodSandbox(
    { filter: { labelSelector: labelSelector(invocation) } },
    { signal: invocation.signal },
  );
  const name = option(invocation, 'name');
  const namespace = option(invocation, 'namespace');
  response.items = response.items
    .filter((pod) => name === undefined || (pod.metadata?.name ?? '').includes(name))
    .filter((pod) => namespace === undefined || pod.metadata?.namespace === namespace)
    .sort((a, b) => Number(b.createdAt - a.createdAt));
  if (flag(invocation, 'quiet')) {
    invocation.out(response.items.map((pod) => `${pod.id}\n`).join(''));
    return;
  }
  const format = outputFormat(invocation);
  if (format !== 'table') {
    invocation.out(formatted(format, messageJson(ListPodSandboxResponseSchema, response)));
    return;
  }
  const head = ['POD ID', 'CREATED', 'STATE', 'NAME', 'NAMESPACE', 'ATTEMPT', 'RUNTIME'];
  invocation.out(table(head, response.items.map(row)));
}

function row(pod: PodSandbox): string[] {
  return [
    shortId(pod.id),
    agoNanos(pod.createdAt),
    pod.state === PodSandboxState.SANDBOX_READY ? 'Ready' : 'NotReady',
    pod.metadata?.name ?? '',
    pod.metadata?.namespace ?? '',
    String(pod.metadata?.attempt ?? 0),
    pod.runtimeHandler || '(default)',
  ];
}
