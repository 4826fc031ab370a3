import { messageOf } from '@gantry/errors';

/**
 * What a person is told of an error: `gantry: <what failed>: <why>`, on one line
 * unless it lists several faults. GANTRY_DEBUG adds where it came from.
 */
export function failureText(error: unknown, environment: NodeJS.ProcessEnv = process.env): string {
  const stacks: string[] = [];
  if (environment['GANTRY_DEBUG']) {
    for (let e = error; e instanceof Error; e = e.cause) {
      stacks.push(`${e.stack ?? e.message}\n`);
    }
  }
  return `gantry: ${messageOf(error).trimEnd()}\n${stacks.join('')}`;
}
