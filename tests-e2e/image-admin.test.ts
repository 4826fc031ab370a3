import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { run } from '@gantry/host';
import {
  ContainerState,
  podConfig,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { type Registry, startRegistry } from './harness/registry.ts';
import { imageLayout, runDir } from './harness/run-dir.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

const importDir = join(runDir(), 'archives');

let stack: Stack;
let registry: Registry;
before(async () => {
  registry = await startRegistry();
  await registry.push(imageLayout('busybox'), 'lib/busybox:1');
  await mkdir(importDir);
  await archive(join(importDir, 'lab.tar'), 'localhost/lab:1');
  await copyFile(import.meta.filename, join(importDir, 'no-archive'));
  stack = await startStack({ config: `import_dir = "${importDir}"` });
});
after(async () => {
  await stack[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

async function must(command: string, ...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await run(command, args);
  assert.equal(exitCode, 0, `${command} ${args.join(' ')}: ${stderr.toString()}`);
  return stdout.toString();
}

async function archive(path: string, name: string): Promise<void> {
  await must('skopeo', 'copy', `oci:${imageLayout('busybox')}`, `docker-archive:${path}:${name}`);
}

const find = async (name: string) =>
  (await stack.images.imageStatus({ image: { image: name } })).image;

/** Podman's Docker-compatible API on a socket, with one image in a store of its own. */
async function startEngine(t: TestContext, name: string): Promise<string> {
  const dir = join(runDir(), 'engine');
  await mkdir(dir);
  const saved = join(dir, 'image.tar');
  await archive(saved, name);
  const store = ['--root', join(dir, 'root'), '--runroot', join(dir, 'run')];
  const options = [...store, '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs'];
  await must('podman', ...options, 'load', '-i', saved);
  const socket = join(dir, 'podman.sock');
  const engine = spawn(
    'podman',
    [...options, 'system', 'service', '--time', '0', `unix://${socket}`],
    { stdio: 'ignore' },
  );
  t.after(async () => {
    const ended = once(engine, 'exit');
    engine.kill('SIGTERM');
    await ended;
  });
  await until(
    'the engine answers',
    () =>
      new Promise<boolean>((resolve) => {
        const connection = createConnection(socket, () => {
          connection.destroy();
          resolve(true);
        }).on('error', () => resolve(false));
      }),
    (up) => up,
  );
  return socket;
}

test('an image of a Docker-compatible engine is imported, and runs', async (t) => {
  const socket = await startEngine(t, 'localhost/built-here:dev');
  const output = await stack.gantryOk(
    ...['image', 'import', '--from-engine', 'localhost/built-here:dev', '--engine-socket', socket],
  );
  assert.match(output, /^localhost\/built-here:dev {2}sha256:/);
  const pod = await runPod(stack, podConfig(stack, 'engine'));
  const containerId = await startContainer(
    stack,
    pod,
    shellContainer('c', 'exit 0', { image: { image: 'localhost/built-here:dev' } }),
  );
  await until(
    'the end',
    async () => (await stack.runtime.containerStatus({ containerId })).status,
    (status) => status?.state === ContainerState.CONTAINER_EXITED,
  );
  await removePod(stack, pod.podSandboxId);

  const unknown = await stack.gantry(
    ...['image', 'import', '--from-engine', 'localhost/nobody:1', '--engine-socket', socket],
  );
  assert.equal(unknown.exitCode, 1);
  assert.match(unknown.stderr, /engine at .*podman\.sock has no image localhost\/nobody:1/);
});

test('archives of import_dir are there after the start, and a bad one keeps none from it', async () => {
  await until(
    'the import',
    () => find('localhost/lab:1'),
    (image) => image !== undefined,
  );
});

test('an image is exported to a file and to a pipe, and runs where it is imported', async () => {
  const name = 'localhost/e2e/busybox:1';
  const file = join(runDir(), 'exported.tar');
  const { stdout, stderr, exitCode } = await stack.gantry('image', 'export', name, '-f', file);
  assert.deepEqual([exitCode, stdout], [0, ''], stderr);
  assert.match(stderr, /^localhost\/e2e\/busybox:1 {2}[0-9a-f]{13}: .*\n[\d.]+[kM]B in /);
  const inspected = await must('skopeo', 'inspect', '--config', `oci-archive:${file}`);
  assert.match(inspected, /"rootfs"/);

  const piped = join(runDir(), 'piped.tar');
  const gantry = join(import.meta.dirname, '..', 'gantry');
  const script = '"$0" image --config "$1" export "$2" --format docker-archive | cat > "$3"';
  await must('sh', '-c', script, gantry, stack.configFile, name, piped);

  const exported = JSON.parse(
    await must('skopeo', 'inspect', '--config', `docker-archive:${piped}`),
  ) as object;
  assert.ok('rootfs' in exported);
  for (const [index, archived] of [file, piped].entries()) {
    const own = `localhost/elsewhere:${index}`;
    await stack.gantryOk('image', 'import', archived, '--name', own);
    const pod = await runPod(stack, podConfig(stack, `elsewhere-${index}`));
    const config = shellContainer('c', 'exec sleep 1000', { image: { image: own } });
    const containerId = await startContainer(stack, pod, config);
    const { exitCode: code } = await stack.runtime.execSync({ containerId, cmd: ['true'] });
    assert.equal(code, 0);
    await removePod(stack, pod.podSandboxId);
    await stack.images.removeImage({ image: { image: own } });
    await stack.gantryOk('image', 'import', file);
  }

  const missing = await stack.gantry('image', 'export', 'localhost/never:1', '-f', `${file}.no`);
  assert.equal(missing.exitCode, 1);
  assert.match(missing.stderr, /export "localhost\/never:1": not on this node/);
  assert.deepEqual(
    (await readdir(runDir())).filter((found) => found.startsWith('exported')),
    ['exported.tar'],
  );
});

test('doctor names the layer store in use and why', async () => {
  const { stdout } = await stack.gantry('doctor');
  assert.match(
    stdout,
    /layer store +(erofs in use \(layer_store = "\w+"\): a probe|directories in use \(layer_store = "\w+"\): \S)/,
  );
});

test('usage and prune tell what is used, and take only what is not', async () => {
  const name = `${registry.host}/lib/busybox:1`;
  // The same content as the other busybox images, under one more name.
  const { imageRef } = await stack.images.pullImage({ image: { image: name } });
  const pod = await runPod(stack, podConfig(stack, 'user'));
  await startContainer(stack, pod, shellContainer('c', 'exec sleep 1000'));

  const table = await stack.gantryOk('image', 'usage');
  assert.match(table, /IMAGE +IMAGE ID +SIZE +OWN +USED BY/);
  assert.match(table, /1 container\b/);
  assert.match(table, /\bpinned\b/);
  assert.equal(await stack.gantryOk('image', 'prune'), '0B freed\n');

  await removePod(stack, pod.podSandboxId);
  const dry = await stack.gantryOk('image', 'prune', '--dry-run');
  assert.match(dry, /^would remove .*\nat least [\d.]+[kMG]?B would be freed\n$/);
  assert.ok((await find(imageRef)) !== undefined);
  const pruned = await stack.gantryOk('image', 'prune');
  assert.match(pruned, /^removed .*\n[\d.]+[kM]B freed\n$/);
  assert.equal(await find(imageRef), undefined);
  const left = await stack.images.listImages({});
  assert.deepEqual(
    left.images.map(({ pinned }) => pinned),
    [true],
  );
  assert.equal(await stack.gantryOk('image', 'pulls'), 'IMAGE  LAYERS  BYTES  SINCE\n');
});
