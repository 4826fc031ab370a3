import { ContainerStatusSchema } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import { findContainer } from '../cri/find-id.ts';
import { argument, type Invocation } from '../invocation.ts';
import { documentFormat, formatted, messageJson, parsedInfo, withDates } from '../output/format.ts';

/** `gantry inspect CONTAINER`: its status, and what the service adds when it is asked for more. */
export async function inspect(invocation: Invocation): Promise<void> {
  const format = documentFormat(invocation);
  using cri = connect(invocation);
  const { signal } = invocation;
  const containerId = await findContainer(cri, argument(invocation, 0), signal);
  const { status, info } = await cri.runtime.containerStatus(
    { containerId, verbose: true },
    { signal },
  );
  const shown = {
    status:
      status &&
      withDates(messageJson(ContainerStatusSchema, status), [
        'createdAt',
        'startedAt',
        'finishedAt',
      ]),
    ...parsedInfo(info),
  };
  invocation.out(formatted(format, shown));
}
