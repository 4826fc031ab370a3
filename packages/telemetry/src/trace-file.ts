import { join } from 'node:path';

/** Where the trace database of the node lies. */
export function traceFile(rootDir: string): string {
  return join(rootDir, 'traces', 'traces.db');
}
