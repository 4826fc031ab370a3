import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { testDir } from '../testing-dir.ts';
import { emptyRuns, readCounts, totalsLine, totalsOf } from './counts.ts';
import { differingFiles } from './differing-files.ts';

const source = `import { test } from 'node:test';
test('passes', () => {});
test('fails', () => { throw new Error('no'); });
test('is skipped', { skip: true }, () => {});
test('is to do', { todo: true }, () => {});
`;

/** Runs node --test with the count reporter in a process of its own. */
function runTests(t: TestContext, flags: readonly string[]): ReturnType<typeof readCounts> {
  const dir = testDir(t);
  const counts = join(dir, 'counts');
  mkdirSync(counts);
  writeFileSync(join(dir, 'a.test.mjs'), source);
  writeFileSync(join(dir, 'b.test.mjs'), source);
  const reporter = pathToFileURL(join(import.meta.dirname, 'count-reporter.ts')).href;
  // Ours may be a test run with a reporter itself.
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...env } = process.env;
  spawnSync(
    process.execPath,
    ['--test', `--test-reporter=${reporter}`, '--test-reporter-destination=stdout', ...flags],
    { cwd: dir, env: { ...env, GANTRY_TEST_COUNTS: counts } },
  );
  return readCounts(counts);
}

for (const isolation of ['none', 'process']) {
  test(`the counts of a whole run are kept, with isolation ${isolation}`, (t) => {
    const runs = runTests(t, [`--test-isolation=${isolation}`]);
    assert.equal(runs.length, 1);
    assert.deepEqual(totalsOf(runs), { passed: 2, failed: 2, skipped: 4 });
    assert.equal(totalsLine(totalsOf(runs)), '2 passed, 2 failed, 4 skipped');
  });
}

test('a run whose pattern matches nothing counts as empty', (t) => {
  const runs = runTests(t, [
    '--test-isolation=none',
    '--test-name-pattern=^nothing$',
    'none/*.mjs',
  ]);
  assert.equal(runs.length, 1);
  assert.deepEqual(emptyRuns(runs), [runs[0]?.cwd]);
});

test('files that differ, or are on one side only, are named', async (t) => {
  const dir = testDir(t);
  for (const [path, text] of Object.entries({
    'a/same': '1',
    'b/same': '1',
    'a/x/y': '1',
    'b/x/y': '2',
    'b/new': '',
  })) {
    mkdirSync(join(dir, path, '..'), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  assert.deepEqual(await differingFiles(join(dir, 'a'), join(dir, 'b')), ['new', 'x/y']);
  assert.deepEqual(await differingFiles(join(dir, 'a'), join(dir, 'a')), []);
});
