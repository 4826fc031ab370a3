import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { run } from '@gantry/host';
import { type Registry, startRegistry } from './harness/registry.ts';
import { imageLayout } from './harness/run-dir.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

const crictl = process.env['GANTRY_E2E_CRICTL'];
const options = crictl === undefined ? { skip: 'no Go toolchain to build crictl with' } : {};

let stack: Stack;
let registry: Registry;
before(async () => {
  if (crictl !== undefined) {
    registry = await startRegistry();
    await registry.push(imageLayout('busybox'), 'tools/busybox:1');
    stack = await startStack({ busybox: false });
  }
});
after(async () => {
  if (crictl !== undefined) {
    await stack[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  }
});

async function ctl(...args: string[]): Promise<string> {
  const address = `unix://${stack.socket}`;
  const { exitCode, stdout, stderr } = await run(
    String(crictl),
    ['--runtime-endpoint', address, '--image-endpoint', address, '--timeout', '60s', ...args],
    { timeoutMs: 120_000 },
  );
  assert.equal(exitCode, 0, `crictl ${args.join(' ')}: ${stderr.toString()}`);
  return stdout.toString();
}

test('crictl runs a pod from pull to removal', options, async () => {
  const image = `${registry.host}/tools/busybox:1`;
  assert.match(await ctl('version'), /RuntimeName: +gantry/);
  assert.match(await ctl('info'), /"type": "NetworkReady"/);
  await ctl('pull', image);
  assert.match(await ctl('images'), /tools\/busybox/);

  const podFile = join(stack.dir, 'pod.json');
  const containerFile = join(stack.dir, 'container.json');
  await writeFile(
    podFile,
    JSON.stringify({
      metadata: { name: 'ctl', namespace: 'default', uid: 'u1', attempt: 1 },
      log_directory: join(stack.dir, 'ctl-logs'),
      linux: {},
    }),
  );
  await writeFile(
    containerFile,
    JSON.stringify({
      metadata: { name: 'box' },
      image: { image },
      command: ['sh', '-c', 'echo hello from the log; exec sleep 1000'],
      log_path: 'box.log',
      linux: {},
    }),
  );
  const pod = (await ctl('runp', podFile)).trim();
  assert.match(await ctl('pods'), new RegExp(`${pod.slice(0, 13)}.*Ready.*ctl`));
  const container = (await ctl('create', pod, containerFile, podFile)).trim();
  await ctl('start', container);
  assert.match(await ctl('ps'), new RegExp(`${container.slice(0, 13)}.*Running`));
  // crictl adds a line end after each of the two outputs.
  assert.equal((await ctl('exec', '-s', container, 'echo', 'hi')).trim(), 'hi');
  await until(
    'log',
    () => ctl('logs', container),
    (log) => log.includes('hello from the log'),
  );
  const inspected = JSON.parse(await ctl('inspect', container)) as {
    status: { id: string; state: string };
    info: { pid: number };
  };
  assert.equal(inspected.status.id, container);
  assert.equal(inspected.status.state, 'CONTAINER_RUNNING');
  assert.ok(inspected.info.pid > 1);
  assert.match(await ctl('inspectp', pod), new RegExp(`"ip": "${stack.addressPrefix}`));
  await ctl('stop', container);
  await ctl('rm', container);
  await ctl('stopp', pod);
  await ctl('rmp', pod);
  assert.equal((await ctl('pods', '-q')).trim(), '');
  await ctl('rmi', image);
  assert.doesNotMatch(await ctl('images'), /tools\/busybox/);
});
