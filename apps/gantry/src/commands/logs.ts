import { RuntimeError } from '@gantry/errors';
import { ContainerState } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import { findContainer } from '../cri/find-id.ts';
import { argument, flag, type Invocation, numberOption } from '../invocation.ts';
import { type LogEntry, tailOf } from '../logs/cri-log.ts';
import { followLog, readLog } from '../logs/follow-log.ts';

/** `gantry logs CONTAINER`: what it wrote, each stream to its own of ours. With -f until it ends. */
export async function logs(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const { signal } = invocation;
  const containerId = await findContainer(cri, argument(invocation, 0), signal);
  const { status } = await cri.runtime.containerStatus({ containerId }, { signal });
  const path = status?.logPath ?? '';
  if (path === '') {
    throw new RuntimeError(
      'failed-precondition',
      `logs of container ${containerId}: it keeps none`,
    );
  }
  const write = writer(flag(invocation, 'timestamps'));
  const tail = numberOption(invocation, 'tail');
  let skip = 0;
  if (tail !== undefined) {
    const entries = await Array.fromAsync(readLog(path));
    const last = tailOf(entries, tail);
    skip = entries.length - last.length;
    if (!flag(invocation, 'follow')) {
      last.forEach(write);
      return;
    }
  }
  const mayGrow = async (): Promise<boolean> => {
    const now = await cri.runtime.containerStatus({ containerId }, { signal });
    return now.status?.state !== ContainerState.CONTAINER_EXITED;
  };
  const entries = flag(invocation, 'follow') ? followLog(path, { mayGrow, signal }) : readLog(path);
  for await (const entry of entries) {
    if (skip > 0) {
      skip -= 1;
    } else {
      write(entry);
    }
  }
}

/** A line in parts is written as one line. */
function writer(hasTimes: boolean): (entry: LogEntry) => void {
  let inLine = false;
  return ({ time, stream, partial, content }) => {
    const target = process[stream];
    if (hasTimes && !inLine) {
      target.write(`${time} `);
    }
    target.write(content);
    if (!partial) {
      target.write('\n');
    }
    inLine = partial;
  };
}
