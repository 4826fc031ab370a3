import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { detectCgroups, identifyProcess, isRunning, signalProcess } from '@gantry/host';
import { knownFeatures, probeHandlers } from './probe-handlers.ts';
import { openProbePlace } from './probe-place.ts';

const plain = { path: '', systemd_cgroup: false, privileged_without_host_devices: false };

async function gantryCgroups(): Promise<string[]> {
  const { hierarchies } = await detectCgroups();
  const lists = await Promise.all(hierarchies.map(({ directory }) => readdir(directory)));
  return lists.flat().filter((name) => name.startsWith(`gantry-probe-${process.pid}-`));
}

test('each handler is tried on this host, and nothing is left', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-probe-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const script = join(dir, 'odd');
  await writeFile(script, '#!/bin/sh\necho "odd: no such luck" >&2; exit 3\n');
  await chmod(script, 0o755);
  const state = join(dir, 'state');

  const handlers = await probeHandlers(
    {
      runc: plain,
      crun: plain,
      gone: { ...plain, path: 'no-such-runtime' },
      odd: { ...plain, path: script },
      not: { ...plain, path: '/bin/false' },
    },
    state,
  );

  const crun = handlers.get('crun')?.unusable;
  if ((await detectCgroups()).version === 'hybrid' && crun !== undefined) {
    assert.match(crun, /hybrid/);
  } else {
    assert.equal(crun, undefined);
  }
  assert.equal(handlers.get('runc')?.unusable, undefined);
  assert.equal(handlers.get('gone')?.unusable, 'no-such-runtime is missing');
  assert.equal(handlers.get('odd')?.unusable, 'odd: no such luck');
  assert.equal(handlers.get('not')?.unusable, 'create ended with 1');
  assert.deepEqual(await readdir(state), []);
  assert.deepEqual(await gantryCgroups(), []);
});

test('the systemd driver is unusable where systemd is not there', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-probe-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const handlers = await probeHandlers({ runc: { ...plain, systemd_cgroup: true } }, dir);
  // sd_booted(3)
  const booted = existsSync('/run/systemd/system');
  const { unusable, systemdCgroup } = handlers.get('runc') ?? assert.fail();
  assert.equal(systemdCgroup, true);
  assert.match(unusable ?? '', booted ? /^$/ : /systemd/);
  assert.deepEqual(await readdir(dir), []);
});

test('what a service has left that was killed while it probed is gone after the next start', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-probe-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const [script, state, pidFile] = ['stuck', 'state', 'pid'].map((name) => join(dir, name));
  assert.ok(script && state && pidFile);
  // One process, found by its command line as runc would be, that waits for ever.
  const create = `echo $$ > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; read -r _ < ${dir}/never`;
  await writeFile(script, `#!/bin/sh\nfor a; do [ "$a" = create ] && { ${create}; }; done\n`);
  await chmod(script, 0o755);
  execFileSync('mkfifo', [join(dir, 'never')]);
  const program = `import { probeHandlers } from ${JSON.stringify(new URL('./probe-handlers.ts', import.meta.url).href)};
    await probeHandlers({ stuck: ${JSON.stringify({ ...plain, path: script })} }, ${JSON.stringify(state)});`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const seen = await waitForFile(pidFile);
  const stuck = await identifyProcess(Number(seen));
  assert.ok(stuck);
  t.after(() => signalProcess(stuck, constants.signals.SIGKILL));
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(await isRunning(stuck), true);
  assert.equal((await readdir(state)).length, 2);

  await probeHandlers({ not: { ...plain, path: '/bin/false' } }, state);
  assert.equal(await isRunning(stuck), false);
  assert.deepEqual(await readdir(state), []);
});

async function waitForFile(path: string): Promise<string> {
  for (;;) {
    if (existsSync(path)) {
      return readFile(path, 'utf8');
    }
    await setTimeout(10);
  }
}

test('a probe that goes on in another process is left alone', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-probe-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await using other = await openProbePlace(dir);
  await probeHandlers({ not: { ...plain, path: '/bin/false' } }, dir);
  assert.equal(existsSync(other.directory), true);
});

test('a handler is told with its path, version and features', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-probe-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const config = { ...plain, privileged_without_host_devices: true };
  const { version, path, features, ...rest } =
    (await probeHandlers({ runc: config }, dir)).get('runc') ?? assert.fail();
  assert.match(version ?? '', /^runc version \d/);
  assert.match(path, /^\/.*\/runc$/);
  assert.ok(typeof features === 'object');
  assert.deepEqual(rest, {
    name: 'runc',
    systemdCgroup: false,
    privilegedWithoutHostDevices: true,
  });
});

test('a crun that cannot tell its features has those of its news', () => {
  const recursive = { mountOptions: ['ro', 'rro'] };
  assert.deepEqual(knownFeatures('crun version 1.8.1'), recursive);
  assert.deepEqual(knownFeatures('crun version 1.4'), recursive);
  assert.equal(knownFeatures('crun version 1.3'), undefined);
  assert.equal(knownFeatures('crun version 0.20.1'), undefined);
  assert.equal(knownFeatures('runc version 1.0.3'), undefined);
  assert.equal(knownFeatures(undefined), undefined);
});
