import { formatTrace, readTraces } from '@gantry/telemetry';
import { flag, type Invocation, numberOption } from '../invocation.ts';

const matchesShown = 10;

/** `gantry trace [WHAT]`: from the database on the node, also when nothing runs. */
export function trace(invocation: Invocation): Promise<number> {
  return Promise.try(() => {
    const config = invocation.config();
    const [match] = invocation.args;
    const traces = readTraces({
      rootDir: config.root_dir,
      slowest: flag(invocation, 'slowest'),
      limit: numberOption(invocation, 'last', 1) ?? (match === undefined ? 1 : matchesShown),
      ...(match === undefined ? {} : { match }),
    });
    if (traces.length === 0) {
      const what = match === undefined ? 'no trace' : `no trace that tells of "${match}"`;
      invocation.note(`gantry: ${what} in ${config.root_dir}`);
      return 1;
    }
    const options = {
      width: process.stdout.columns || 140,
      color: process.stdout.isTTY && !process.env['NO_COLOR'],
    };
    invocation.out(traces.map((t) => formatTrace(t, options)).join('\n'));
    return 0;
  });
}
