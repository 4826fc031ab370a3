import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

/** The variable that names the directory where each test run leaves its counts. */
const countsVariable = 'GANTRY_TEST_COUNTS';

/**
 * A reporter of node:test that prints nothing and leaves the counts of the whole run in a file of its own.
 * Node wants a reporter as a default export.
 */
// biome-ignore lint/style/noDefaultExport: that is how Node finds it.
export default async function* countReporter(
  source: AsyncIterable<TestEvent>,
): AsyncGenerator<string> {
  const dir = process.env[countsVariable];
  for await (const event of source) {
    // A summary with a file is of one file of the run.
    if (event.type === 'test:summary' && event.data.file === undefined && dir !== undefined) {
      const run = { cwd: process.cwd(), ...event.data.counts };
      writeFileSync(join(dir, `${randomUUID()}.json`), JSON.stringify(run));
    }
  }
  yield '';
}
