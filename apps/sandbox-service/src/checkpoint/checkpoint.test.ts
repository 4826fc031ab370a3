import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isKind, messageOf, RuntimeError } from '@gantry/errors';
import { run } from '@gantry/host';
import {
  createContainer,
  runPod,
  startAlone,
  startContainer,
  type TestService,
} from '../testing.ts';
import { packRoot, unpackRoot } from './archive.ts';
import { isCheckpoint, openCheckpoint } from './open-checkpoint.ts';

const asRoot =
  process.geteuid?.() === 0 ? false : 'needs root: files of others are kept and refused';

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-checkpoint-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** A container that runs, with a real directory for what it writes. */
async function startWith(service: TestService, t: TestContext): Promise<string> {
  const id = await startContainer(service, await runPod(service));
  service.world.records.containers.update(id, { facts: { upperDir: await directory(t) } });
  return id;
}

test('an archive has what others look for, and nothing else stays', async (t) => {
  const service = await startAlone(t);
  const dir = await directory(t);
  const containerId = await startWith(service, t);
  const location = join(dir, 'a.tar');
  await service.call('checkpointContainer', { containerId, location });
  const { stdout } = await run('tar', ['-xOf', location, './config.dump']);
  const dump = JSON.parse(stdout.toString()) as Record<string, unknown>;
  assert.equal(dump['id'], containerId);
  assert.equal(dump['rootfsImageName'], 'busybox');
  assert.equal(dump['rootfsImageRef'], `sha256:${'e'.repeat(64)}`);
  assert.equal(dump['restored'], false);
  assert.ok(Date.parse(String(dump['checkpointedTime'])) > 0);
  assert.equal((await stat(location)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(service.world.paths.checkpoints), []);
  assert.deepEqual(await readdir(dir), ['a.tar']);
});

test('a failure leaves neither archive nor memory behind, and an old archive as it was', async (t) => {
  const service = await startAlone(t);
  const dir = await directory(t);
  const containerId = await startWith(service, t);
  const location = join(dir, 'a.tar');
  await writeFile(location, 'old');
  const refusal = new RuntimeError('failed-precondition', 'criu says no');
  service.node.host.failures.set('runtime.checkpoint', refusal);
  await assert.rejects(
    service.call('checkpointContainer', { containerId, location }),
    (e) =>
      isKind(e, 'failed-precondition') && /checkpoint container .*criu says no/.test(messageOf(e)),
  );
  service.node.host.failures.clear();
  await assert.rejects(
    service.call('checkpointContainer', { containerId, location: join(dir, 'none', 'a.tar') }),
    (e) => isKind(e, 'invalid-argument') && /no directory/.test(messageOf(e)),
  );
  assert.equal(await readFile(location, 'utf8'), 'old');
  assert.deepEqual(await readdir(dir), ['a.tar']);
  assert.deepEqual(await readdir(service.world.paths.checkpoints), []);
});

test('one that does not run is refused', async (t) => {
  const service = await startAlone(t);
  const containerId = await createContainer(service, await runPod(service));
  await assert.rejects(
    service.call('checkpointContainer', { containerId, location: '/nowhere/a.tar' }),
    (e) => isKind(e, 'failed-precondition') && /is created, not running/.test(messageOf(e)),
  );
});

test('a deadline in the request ends the wait', async (t) => {
  const service = await startAlone(t);
  const dir = await directory(t);
  const containerId = await startContainer(service, await runPod(service));
  const { world } = service;
  const { sandboxId } = world.records.containers.get(containerId);
  await using _ = await world.locks.lock(world.paths.lock(sandboxId));
  await assert.rejects(
    service.call('checkpointContainer', { containerId, location: join(dir, 'a.tar'), timeout: 1n }),
  );
});

test('the upper directory of an overlay is the same after it was packed and unpacked', {
  skip: asRoot,
}, async (t) => {
  const dir = await directory(t);
  const [from, to] = [join(dir, 'from'), join(dir, 'to')];
  await mkdir(join(from, 'd'), { recursive: true });
  await mkdir(to);
  await writeFile(join(from, 'd', 'file'), 'content');
  const made = await run('sh', [
    '-c',
    `cd ${from} && mknod gone c 0 0 && chown 1234:5678 d/file && chmod 4755 d/file && setfattr -n trusted.overlay.opaque -v y d 2>/dev/null; ln -s d/file link`,
  ]);
  assert.equal(made.exitCode, 0, made.stderr.toString());
  await packRoot(from, join(dir, 'root.tar'));
  await unpackRoot(join(dir, 'root.tar'), to);
  const list = async (path: string) =>
    (
      await run('sh', [
        '-c',
        `cd ${path} && find . ! -name . -printf '%p %y %m %U:%G %l\\n' | sort`,
      ])
    ).stdout.toString();
  assert.equal(await list(to), await list(from));
  const { rdev } = await stat(join(to, 'gone'));
  assert.equal(rdev, 0);
});

test('paths are checkpoints, names of images are none', () => {
  assert.ok(isCheckpoint('/var/lib/kubelet/checkpoints/a.tar'));
  for (const image of ['busybox', 'docker.io/library/busybox:1', `sha256:${'a'.repeat(64)}`]) {
    assert.equal(isCheckpoint(image), false);
  }
});

test('an archive of somebody else is refused', { skip: asRoot }, async (t) => {
  const dir = await directory(t);
  const archive = join(dir, 'a.tar');
  await writeFile(archive, '');
  await run('chown', ['1234', archive]);
  const paths = { checkpoint: (id: string) => join(dir, id) };
  await assert.rejects(openCheckpoint(paths, 'x', archive), (e) => isKind(e, 'invalid-argument'));
  assert.deepEqual(await readdir(dir), ['a.tar']);
});
