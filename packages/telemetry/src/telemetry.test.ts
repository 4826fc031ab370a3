import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { RuntimeError } from '@gantry/errors';
import {
  asOwner,
  createLogger,
  type Logger,
  openRemoteSpan,
  outsideTrace,
  readTraces,
  startTelemetry,
  type Telemetry,
  withSpan,
} from './index.ts';

interface Started {
  readonly rootDir: string;
  readonly telemetry: Telemetry;
  readonly lines: string[];
  readonly log: Logger;
}

async function start(t: TestContext, rootDir?: string): Promise<Started> {
  const dir = rootDir ?? (await mkdtemp(join(tmpdir(), 'telemetry-')));
  const lines: string[] = [];
  const log = createLogger({
    service: 'sandbox',
    instance: 'i1',
    level: 'info',
    destination: { write: (line) => lines.push(line) },
  });
  const telemetry = await startTelemetry({
    service: 'sandbox',
    instance: 'i1',
    config: {
      node_name: 'node-1',
      root_dir: dir,
      log: { level: 'info' },
      tracing: { otlp_endpoint: '', keep_traces: 100 },
    },
    log,
  });
  t.after(async () => {
    await telemetry[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true });
  });
  return { rootDir: dir, telemetry, lines, log };
}

test('spans are kept as a tree, with what failed', async (t) => {
  const { rootDir, telemetry } = await start(t);
  const work = withSpan('RunPodSandbox', { 'sandbox.id': 'abc' }, async () => {
    await withSpan('cni add', {}, () => Promise.resolve());
    await withSpan('runc create', { 'container.id': 'abc' }, () =>
      Promise.reject(new RuntimeError('not-found', 'no such image')),
    );
  });
  await assert.rejects(work, { kind: 'not-found' });
  await telemetry.flush();

  const [trace] = readTraces({ rootDir });
  assert.equal(trace?.failed, true);
  const [root] = trace.roots;
  assert.equal(root?.name, 'RunPodSandbox');
  assert.equal(root.service, 'sandbox');
  assert.equal(root.instance, 'i1');
  assert.equal(root.attributes['sandbox.id'], 'abc');
  assert.deepEqual(
    root.children.map((c) => [c.name, c.failed, c.message, c.attributes['error.type']]),
    [
      ['cni add', false, '', undefined],
      ['runc create', true, 'no such image', 'not-found'],
    ],
  );
});

test('traces are found by attribute, name and id, newest or slowest first', async (t) => {
  const { rootDir, telemetry } = await start(t);
  const { promise: pause, resolve: resume } = Promise.withResolvers<void>();
  const slow = withSpan('CreateContainer', { 'container.id': 'c_1' }, () => pause);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await withSpan('StartContainer', { 'container.id': 'cx1' }, () => Promise.resolve());
  resume();
  await slow;
  await telemetry.flush();

  const names = (query: object): (string | undefined)[] =>
    readTraces({ rootDir, ...query }).map((trace) => trace.roots[0]?.name);
  assert.deepEqual(names({}), ['StartContainer', 'CreateContainer']);
  assert.deepEqual(names({ slowest: true }), ['CreateContainer', 'StartContainer']);
  assert.deepEqual(names({ limit: 1 }), ['StartContainer']);
  assert.deepEqual(names({ match: 'c_1' }), ['CreateContainer'], '_ is no wildcard');
  assert.deepEqual(names({ match: 'startcont' }), ['StartContainer']);
  const id = readTraces({ rootDir, match: 'StartContainer' })[0]?.traceId ?? '';
  assert.deepEqual(names({ match: id.slice(0, 12) }), ['StartContainer']);
});

test('an owner names the spans that are made under it', async (t) => {
  const { rootDir, telemetry } = await start(t);
  await asOwner({ service: 'image', instance: 'i2' }, () =>
    withSpan('PullImage', {}, () => Promise.resolve()),
  );
  await telemetry.flush();
  const [root] = readTraces({ rootDir })[0]?.roots ?? [];
  assert.deepEqual([root?.service, root?.instance], ['image', 'i2']);
  assert.deepEqual(root?.attributes, {});
});

test('what a request sets going outside of its trace is a trace of its own, of the same owner', async (t) => {
  const { rootDir, telemetry } = await start(t);
  await asOwner({ service: 'image', instance: 'i2' }, () =>
    withSpan('StartContainer', {}, () =>
      outsideTrace(() => withSpan('runc delete', {}, () => Promise.resolve())),
    ),
  );
  await telemetry.flush();
  for (const match of ['StartContainer', 'runc delete']) {
    const traces = readTraces({ rootDir, match });
    assert.deepEqual(
      traces.map(({ roots: [root] }) => [root?.name, root?.service, root?.children]),
      [[match, 'image', []]],
    );
  }
});

test('log lines in a span carry its ids', async (t) => {
  const { lines, log } = await start(t);
  log.info({ pod: 'p' }, 'outside');
  let traceId = '';
  await withSpan('work', {}, (span) => {
    traceId = span.spanContext().traceId;
    log.warn('inside');
    return Promise.resolve();
  });
  const [outside, inside] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(outside?.['service'], 'sandbox');
  assert.equal(outside['pod'], 'p');
  assert.equal('trace_id' in outside, false);
  assert.equal(inside?.['trace_id'], traceId);
  assert.equal(inside['level'], 'warn');
});

test('a directory that can not be made is one warning, and the work goes on', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'telemetry-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const blocked = join(dir, 'file');
  await writeFile(blocked, '');
  await chmod(blocked, 0o400);

  const { telemetry, lines } = await start(t, blocked);
  for (let i = 0; i < 3; i++) {
    assert.equal(await withSpan('work', {}, () => Promise.resolve(i)), i);
    await telemetry.flush();
  }
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /"level":"warn".*traces are not kept/);
});

test('a node without traces has none', () => {
  assert.deepEqual(readTraces({ rootDir: '/nowhere' }), []);
});

test('a span without telemetry runs its work', async () => {
  assert.equal(await withSpan('work', {}, () => Promise.resolve(7)), 7);
});

test('a poll that fails has a span even where polls have none', async (t) => {
  const { rootDir, telemetry } = await start(t);
  const name = 'runtime.v1.RuntimeService/Status';
  for (let i = 0; i < 100; i++) {
    openRemoteSpan(name, {}, {}).end();
  }
  await telemetry.flush();
  assert.ok(readTraces({ rootDir, limit: 1000 }).length < 60, 'most polls leave no trace');
  openRemoteSpan(name, { 'rpc.method': 'Status' }, {}).end(new RuntimeError('unavailable', 'gone'));
  await telemetry.flush();
  const [failed] = readTraces({ rootDir, limit: 1000 }).filter((trace) => trace.failed);
  assert.equal(failed?.roots[0]?.message, 'gone');
  assert.deepEqual(failed.roots[0].attributes, {
    'rpc.method': 'Status',
    'error.type': 'unavailable',
  });
});
