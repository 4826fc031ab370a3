import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { completeConfig } from '@gantry/config';
import { identifyProcess, isRunning, tryLockFile } from '@gantry/host';
import { testDir } from '../testing-dir.ts';
import { expectedInstances, planServices } from './child-plan.ts';
import { type KeepOptions, keepRunning } from './keep-running.ts';
import { rotateLog } from './log-file.ts';
import { runSupervisor } from './run-supervisor.ts';
import { readStackState, runningStack, writeStackState } from './stack-state.ts';
import { stopStack } from './stop-stack.ts';

const backOff = { firstMs: 1, maxMs: 4, settledMs: 60_000 };

/** Keeps a shell script running; `until` resolves once `holds` does at one of its changes. */
function keepScript(
  t: TestContext,
  script: string,
): {
  kept: ReturnType<typeof keepRunning>;
  logFile: string;
  until: (holds: () => boolean) => Promise<void>;
  reports: string[];
} {
  const logFile = join(testDir(t), 'child.log');
  const reports: string[] = [];
  const waiting = new Set<() => void>();
  const options: KeepOptions = {
    logFile,
    backOff,
    report: (_level, text) => reports.push(text),
    onChange: () => {
      for (const look of waiting) {
        look();
      }
    },
  };
  const plan = { name: 'child', command: '/bin/sh', args: ['-c', script] };
  const kept = keepRunning(plan, options);
  t.after(() => kept[Symbol.asyncDispose]());
  const until = (holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (holds()) {
          waiting.delete(look);
          resolve();
        }
      };
      waiting.add(look);
      look();
    });
  return { kept, logFile, until, reports };
}

test('a process that ends is started again, later each time, and its output is kept', async (t) => {
  const { kept, logFile, until, reports } = keepScript(t, 'echo run; exit 3');
  await until(() => kept.state.starts >= 4);
  await kept[Symbol.asyncDispose]();
  assert.equal(readFileSync(logFile, 'utf8').slice(0, 12), 'run\nrun\nrun\n');
  const pauses = reports.flatMap((r) => /exit code 3; again in (\d+) ms/.exec(r)?.[1] ?? []);
  assert.deepEqual(pauses.slice(0, 3), ['1', '2', '4']);
});

test('a process that is killed is told so and is started again with another pid', async (t) => {
  const { kept, until } = keepScript(t, 'exec sleep 1000');
  await until(() => kept.state.process !== undefined);
  const first = kept.state.process?.pid ?? 0;
  process.kill(first, 'SIGKILL');
  await until(() => kept.state.starts === 2);
  assert.equal(kept.state.lastExit, 'signal SIGKILL');
  assert.notEqual(kept.state.process?.pid, first);
});

test('when it is stopped the process is gone, and stays so', async (t) => {
  const { kept, until } = keepScript(t, 'exec sleep 1000');
  await until(() => kept.state.process !== undefined);
  const { process: child } = kept.state;
  await kept[Symbol.asyncDispose]();
  assert.ok(child);
  assert.equal(await isRunning(child), false);
  assert.equal(kept.state.starts, 1);
});

test('a command that is not there is reported, and tried again', async (t) => {
  const reports: string[] = [];
  const tried = Promise.withResolvers<void>();
  await using kept = keepRunning(
    { name: 'none', command: '/nonexistent/program', args: [] },
    {
      logFile: join(testDir(t), 'none.log'),
      backOff,
      onChange: () => undefined,
      report: (_level, text) => {
        reports.push(text);
        if (reports.length > 3) {
          tried.resolve();
        }
      },
    },
  );
  await tried.promise;
  assert.ok(
    reports.some((text) => /ENOENT/.test(text)),
    reports.join('\n'),
  );
  assert.equal(kept.state.process, undefined);
});

test('a log that is too long is moved aside while its writer goes on, three are kept', async (t) => {
  const path = join(testDir(t), 'x.log');
  const fd = openSync(path, 'a');
  for (const text of ['one', 'two', 'three', 'four']) {
    appendFileSync(fd, `${text}\n`);
    assert.equal(await rotateLog(path, 100), false);
    assert.equal(await rotateLog(path, 2), true);
  }
  appendFileSync(fd, 'five\n');
  const read = (suffix: string): string => readFileSync(`${path}${suffix}`, 'utf8');
  assert.deepEqual(['', '.1', '.2', '.3'].map(read), ['five\n', 'four\n', 'three\n', 'two\n']);
  assert.equal(existsSync(`${path}.4`), false);
  assert.equal(await rotateLog(`${path}.none`, 0), false);
});

test('each service has as many processes as the config says, or all have one', () => {
  const config = completeConfig({ services: { replicas: { 'sandbox-service': 2 } } });
  const plans = planServices(config, { configFile: '/c.toml', compact: false });
  assert.deepEqual(
    plans.map((plan) => plan.name),
    ['image-service', 'sandbox-service', 'sandbox-service-2', 'stream-server', 'cri-gateway'],
  );
  for (const { args } of plans) {
    const [main = '', ...rest] = args.filter((arg) => !/^--[a-z-]+=/.test(arg));
    assert.ok(existsSync(main), main);
    assert.deepEqual(rest, ['--config', '/c.toml']);
  }
  assert.equal(expectedInstances(config, false).get('sandbox-service'), 2);
  const compact = planServices(config, { configFile: undefined, compact: true });
  assert.deepEqual(
    compact.map((plan) => plan.name),
    ['compact'],
  );
  assert.equal(expectedInstances(config, true).get('sandbox-service'), 1);
});

test('a stack is up while its supervisor runs: its pid alone proves nothing', async (t) => {
  const config = completeConfig({ state_dir: testDir(t) });
  assert.equal(await readStackState(config), undefined);
  const own = await identifyProcess(process.pid);
  assert.ok(own);
  const state = { supervisor: own, startedAtMs: 1, compact: false, children: [] };
  await writeStackState(config, state);
  assert.deepEqual(await runningStack(config), state);
  await writeStackState(config, { ...state, supervisor: { ...own, startTime: '1' } });
  assert.equal(await runningStack(config), undefined);
});

test('what a killed supervisor left is found and ended', async (t) => {
  const { kept, until } = keepScript(t, 'exec sleep 1000');
  await until(() => kept.state.process !== undefined);
  const child = kept.state;
  const config = completeConfig({ state_dir: testDir(t) });
  await writeStackState(config, {
    supervisor: { pid: 2 ** 22 - 1, startTime: '1' },
    startedAtMs: 1,
    compact: false,
    // A process of the same pid that is not the child must not be touched.
    children: [
      child,
      { name: 'stranger', starts: 1, process: { pid: process.pid, startTime: '1' } },
    ],
  });
  assert.deepEqual(await stopStack(config), ['child']);
  assert.ok(child.process);
  assert.equal(await isRunning(child.process), false);
  assert.equal(await readStackState(config), undefined);
  assert.deepEqual(await stopStack(config), []);
});

test('a state file that was damaged is told with its path', async (t) => {
  const config = completeConfig({ state_dir: testDir(t) });
  writeFileSync(join(config.state_dir, 'supervisor.json'), '{');
  await assert.rejects(readStackState(config), /supervisor\.json/);
});

test('two stacks never share a root_dir, nor a state_dir', async (t) => {
  const dir = testDir(t);
  const config = completeConfig({ state_dir: join(dir, 'run'), root_dir: dir });
  const { signal } = new AbortController();
  const start = (): Promise<void> =>
    runSupervisor({
      config,
      configFile: undefined,
      compact: false,
      report: () => undefined,
      signal,
    });
  for (const [file, message] of [
    ['owner.lock', /^root_dir \S+ is in use by a stack with another state_dir/],
    ['run/supervisor.lock', /another supervisor runs there$/],
  ] as const) {
    mkdirSync(config.state_dir, { recursive: true });
    const held = tryLockFile(join(dir, file));
    assert.ok(held, file);
    await assert.rejects(start(), { kind: 'already-exists', message });
    await held[Symbol.asyncDispose]();
  }
});
