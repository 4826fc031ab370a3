import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { detectCgroups, findTool, run } from '@gantry/host';

/*
 * crun before 1.9 refuses a host with both cgroup versions. There the tests get a mount namespace
 * of their own, in which the version 1 hierarchies are all there is.
 */
const hideUnified = `
set -e
for dir in /sys/fs/cgroup/*; do
  name=$(basename "$dir"); [ "$name" = unified ] && continue
  mkdir "$0/$name"; mount --bind "$dir" "$0/$name"
done
mount --rbind "$0" /sys/fs/cgroup
exec "$@"
`;

async function commandFor(t: TestContext, args: readonly string[]): Promise<readonly string[]> {
  if ((await detectCgroups()).version !== 'hybrid') {
    return args;
  }
  const dir = await mkdtemp(join(tmpdir(), 'gantry-cgroups-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const shell = `mount -t tmpfs none "$0"; ${hideUnified}`;
  return ['unshare', '--mount', '--', 'sh', '-c', shell, dir, ...args];
}

test('with crun everything is as with runc', {
  skip: findTool('crun') === undefined && 'crun is not installed',
  // Two files of tests, each with a time of its own.
  timeout: 600_000,
}, async (t) => {
  const files = ['conmon-runtime', 'survive-kill'].map((name) =>
    fileURLToPath(new URL(`${name}.test.ts`, import.meta.url)),
  );
  const node = [process.execPath, '--test', '--test-isolation=none', '--test-timeout=60000'];
  const [command = '', ...args] = await commandFor(t, [...node, ...files]);
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const result = await run(command, args, {
    env: { ...env, GANTRY_TEST_RUNTIME: 'crun' },
    signal: t.signal,
    killGroup: true,
  });
  const output = result.stdout.toString();
  assert.equal(result.exitCode, 0, output + result.stderr.toString());
  assert.match(output, /pass [12]\d/);
});
