import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { busyboxImageName } from '@gantry/debian-image';
import { run } from '@gantry/host';
import { hostOf, leaks } from './harness/host.ts';
import { podConfig, runPod } from './harness/pod.ts';
import { freePort } from './harness/registry.ts';
import { pidsOf } from './harness/services.ts';
import { busyboxImage, startStack } from './harness/stack.ts';
import { stackForTests } from './harness/stack-for-tests.ts';
import { until } from './harness/until.ts';

const stack = await stackForTests();

test("a person without crictl runs a pod with gantry's own commands", async () => {
  const clean = await hostOf(stack);
  const podFile = join(stack.dir, 'pod.json');
  const containerFile = join(stack.dir, 'container.yaml');
  const badFile = join(stack.dir, 'bad.yaml');
  await writeFile(
    podFile,
    JSON.stringify({
      metadata: { name: 'hand', namespace: 'default', uid: 'u1', attempt: 1 },
      log_directory: join(stack.dir, 'hand-logs'),
      linux: {},
    }),
  );
  await writeFile(
    containerFile,
    `metadata:
  name: box
image:
  image: ${busyboxImage}
command: [sh, -c, "echo hello; exec sleep 1000"]
log_path: box.log
linux: {}
`,
  );
  const pod = (await stack.gantryOk('runp', podFile)).trim();
  const container = (await stack.gantryOk('create', pod, containerFile, podFile)).trim();
  await stack.gantryOk('start', container);
  assert.match(await stack.gantryOk('pods'), /hand/);
  assert.match(await stack.gantryOk('ps'), /box/);
  assert.match(await stack.gantryOk('images'), /e2e\/busybox/);
  await until(
    'log',
    () => stack.gantryOk('logs', container),
    (text) => text === 'hello\n',
  );
  assert.equal(await stack.gantryOk('exec', container, 'echo', 'hi'), 'hi\n');
  for (const name of ['box', 'hand']) {
    assert.match(await stack.gantryOk('why', name), /nothing failed/);
  }
  const config = await readFile(containerFile, 'utf8');
  await writeFile(badFile, config.replace('name: box', 'name: bad').replace('sleep 1000', 'false'));
  const bad = (await stack.gantryOk('create', pod, badFile, podFile)).trim();
  await stack.gantryOk('start', bad);
  await until(
    'the pod says which of its containers ended badly',
    () => stack.gantryOk('why', 'hand'),
    (text) => /^ {2}container bad, .* is exited\n {4}why: .* exit code 1/m.test(text),
  );
  await stack.gantryOk('rm', bad);
  const failed = await stack.gantry('exec', container, 'sh', '-c', 'echo no >&2; exit 9');
  assert.deepEqual([failed.exitCode, failed.stderr], [9, 'no\n']);
  const inspected = JSON.parse(await stack.gantryOk('inspect', container)) as {
    status: { id: string };
  };
  assert.equal(inspected.status.id, container);
  await stack.gantryOk('stop', container);
  await stack.gantryOk('rm', container);
  await stack.gantryOk('stopp', pod);
  await stack.gantryOk('rmp', pod);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('a wrong id is one clear line and a failing exit code', async () => {
  const { exitCode, stderr } = await stack.gantry('inspect', 'f'.repeat(64));
  assert.equal(exitCode, 1);
  assert.match(stderr, /^gantry: .*f{64}.*not found/);
  assert.equal(stderr.trim().split('\n').length, 1);
});

test('two stacks live side by side on one host', async () => {
  const other = await startStack();
  try {
    assert.match(await other.gantryOk('version'), /gantry/);
    assert.match(await stack.gantryOk('version'), /gantry/);
    await runPod(other, podConfig(other, 'left-running'));
  } finally {
    await other[Symbol.asyncDispose]();
  }
  assert.deepEqual(pidsOf(other, 'sandbox-service'), []);
  const left = await hostOf(other);
  for (const [what, things] of Object.entries(left)) {
    assert.deepEqual(things, [], what);
  }
  assert.ok(pidsOf(stack, 'sandbox-service').length > 0);
  assert.match(await stack.gantryOk('version'), /gantry/);
});

test('a second `up` of the same stack says that it is up, and changes nothing', async () => {
  const pids = pidsOf(stack, 'sandbox-service');
  const { stdout, stderr, exitCode } = await stack.gantry('up');
  assert.equal(exitCode, 0);
  assert.match(stdout + stderr, /already|is up/);
  assert.deepEqual(pidsOf(stack, 'sandbox-service'), pids);
});

test('pods keep running over `down` and `up`', async () => {
  const podFile = join(stack.dir, 'keep.json');
  await writeFile(
    podFile,
    JSON.stringify({ metadata: { name: 'keep', namespace: 'default', uid: 'k', attempt: 0 } }),
  );
  const pod = (await stack.gantryOk('runp', podFile)).trim();
  await stack.gantryOk('down');
  assert.deepEqual(pidsOf(stack, 'sandbox-service'), []);
  assert.deepEqual(pidsOf(stack, 'nats-server'), []);
  await stack.gantryOk('up');
  const pods = JSON.parse(await stack.gantryOk('pods', '-o', 'json')) as {
    items: { id: string; state: string }[];
  };
  assert.deepEqual(
    pods.items.map((item) => [item.id, item.state]),
    [[pod, 'SANDBOX_READY']],
  );
  await stack.gantryOk('stopp', pod);
  await stack.gantryOk('rmp', pod);
});

test('`down` interrupts an `up` that is under way, and nothing of it stays', async () => {
  const dir = join(stack.dir, 'starting');
  const file = join(stack.dir, 'starting.toml');
  await writeFile(
    file,
    `root_dir = "${dir}/root"\nstate_dir = "${dir}/run"\n[grpc]\nsocket = "${dir}/run/g.sock"
[nats]\nurl = "nats://127.0.0.1:9"\n[admin]\nport = ${await freePort()}\n`,
  );
  const gantry = (verb: string) =>
    run(join(import.meta.dirname, '..', 'gantry'), [verb, '--config', file]);
  // It waits for a NATS that never comes.
  const up = gantry('up');
  const status = await until(
    'the supervisor',
    () => gantry('status'),
    ({ stdout }) =>
      /^Gantry is being started, by pid \d+\nGantry is up, .*\n(.*\n)*cri-gateway /.test(
        stdout.toString(),
      ),
  );
  assert.equal(status.exitCode, 0);
  const down = await gantry('down');
  assert.match(down.stdout.toString(), /^interrupted the start that was under way \(pid \d+\)\n$/);
  const { exitCode, stdout, stderr } = await up;
  assert.deepEqual([exitCode, stdout.toString()], [130, '']);
  assert.match(stderr.toString(), /interrupted/);
  assert.match((await gantry('status')).stdout.toString(), /^Gantry is not running/);
  const { stdout: left } = await run('pgrep', ['-f', file]);
  assert.equal(left.toString(), '');
});

test('the whole stack runs in one process when it is told to', async () => {
  const compact = await startStack({ config: '[services]\ncompact = true' });
  try {
    const { status } = await compact.runtime.status({});
    assert.ok(status?.conditions.every((c) => c.status));
  } finally {
    await compact[Symbol.asyncDispose]();
  }
});

test('doctor checks this host and names what it found', async () => {
  const { stdout } = await stack.gantry('doctor');
  for (const word of [/runc/, /conmon/, /nats-server/, /overlay/, /cgroup/, /CNI|cni/]) {
    assert.match(stdout, word);
  }
});

test('a faulty config file is refused with every fault, its path and the file', async () => {
  const file = join(stack.dir, 'faulty.toml');
  await writeFile(file, 'root_dir = "relative"\n[grpc]\nsokcet = "/x"\n');
  const command = join(import.meta.dirname, '..', 'gantry');
  const { exitCode, stderr } = await run(command, ['up', '--config', file]);
  assert.equal(exitCode, 1);
  assert.match(stderr.toString(), /root_dir \(line 1\): .*absolute/);
  assert.match(stderr.toString(), /grpc\.sokcet \(line 3\)/);
});

test('a demo whose reader has seen enough removes its pod, and says nothing more', async () => {
  const clean = await hostOf(stack);
  const gantry = join(import.meta.dirname, '..', 'gantry');
  const script = `"$1" --config "$2" demo | sed '/has the address/q'; exit "\${PIPESTATUS[0]}"`;
  const { exitCode, stdout, stderr } = await run('bash', [
    ...['-c', script, 'bash', gantry, stack.configFile],
  ]);
  assert.match(stdout.toString(), /pod [0-9a-f]+ has the address [\da-f.:]+\n$/);
  assert.deepEqual([exitCode, stderr.toString()], [0, '']);
  assert.deepEqual((await stack.runtime.listPodSandbox({})).items, []);
  await stack.gantryOk('rmi', busyboxImageName);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});
