import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMissing } from '../errno.ts';
import type { ContainerExit } from '../ports.ts';

export type ExitRecord = Pick<ContainerExit, 'exitCode' | 'finishedAtNanos'>;

/**
 * What conmon has written of a container's end: the code in the exit directory, or its copy in the
 * bundle, which containers have that an earlier version has started. The time is when the record was
 * written, which conmon does right after the last of the log. Undefined when there is no record.
 */
export function readExit(exitDir: string, id: string, bundleDir: string): ExitRecord | undefined {
  return readRecord(join(exitDir, id)) ?? readRecord(join(bundleDir, 'exit'));
}

function readRecord(file: string): ExitRecord | undefined {
  try {
    using stack = new DisposableStack();
    const fd = stack.adopt(openSync(file, 'r'), closeSync);
    const text = readFileSync(fd, 'utf8');
    const { mtimeNs } = fstatSync(fd, { bigint: true });
    return { exitCode: exitCodeOf(text), finishedAtNanos: mtimeNs };
  } catch (error) {
    if (isMissing(error)) {
      return undefined;
    }
    throw error;
  }
}

/** Conmon writes -1 when it lost sight of the container; 255 stands for that, as elsewhere. */
function exitCodeOf(text: string): number {
  const code = /^\s*(\d{1,3})\s*$/.exec(text)?.[1];
  return code === undefined ? 255 : Number(code);
}
