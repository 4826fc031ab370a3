/*
 * Runs in the virtual machine, whose kernel CRIU of Debian 12 knows: a container is
 * saved to an archive, and another one goes on from there.
 */
import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { mountInfo } from '@gantry/host';
import { ContainerState } from '@gantry/proto';
import {
  closeAndShowLog,
  execIn,
  image,
  must,
  type Pod,
  removePod,
  runPod,
  runtime,
  shellContainer,
  startContainer,
  startGantry,
  until,
} from './guest.ts';

const location = '/root/counter.tar';
/** Counts by the second; what it has counted lies in its memory alone. */
const counter = shellContainer(
  'counter',
  'echo kept > /note; i=0; while :; do i=$((i+1)); echo n-$i; sleep 1; done',
);

before(startGantry);
after(closeAndShowLog);

async function numbersOf({ config }: Pod): Promise<number[]> {
  const log = await readFile(`${config.logDirectory}/${counter.logPath}`, 'utf8').catch(() => '');
  return [...log.matchAll(/ n-(\d+)$/gm)].map((match) => Number(match[1]));
}

const overlays = async () =>
  (await mountInfo()).filter(({ fsType }) => fsType === 'overlay').length;

test('a container is written to an archive and runs on; another one goes on from there', async () => {
  await must('criu', 'check');
  const clean = await overlays();
  const original = await runPod('original');
  const { containerId } = await startContainer(original, counter);
  const numbers = () => numbersOf(original);
  await until('it counts', numbers, (all) => all.length > 3);

  await runtime().checkpointContainer({ containerId, location, timeout: 600n });

  const saved = Math.max(...(await numbers()));
  await until('it counts on', numbers, (all) => Math.max(...all) > saved + 2);
  const { status } = await runtime().containerStatus({ containerId });
  assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
  assert.equal((await stat(location)).mode & 0o777, 0o600);
  const list = await must('tar', '-tf', location);
  for (const name of ['config.dump', 'spec.dump', 'status.dump', 'rootfs-diff.tar', 'dump.log']) {
    assert.match(list, new RegExp(`^\\./${name}$`, 'm'));
  }
  assert.match(list, /^\.\/checkpoint\/inventory\.img$/m);
  await removePod(original);

  const other = await runPod('restored');
  const restored = await startContainer(other, {
    ...counter,
    image: { image: location },
  } as typeof counter);
  const all = await until(
    'it counts again',
    () => numbersOf(other),
    (now) => now.length > 2,
  );
  const [first = 0] = all;
  assert.ok(
    first > 3 && first <= saved + 1,
    `goes on with ${String(first)} after ${String(saved)}`,
  );
  assert.deepEqual(await execIn(restored, 'cat', '/note'), { text: 'kept\n', exitCode: 0 });
  const answer = await runtime().containerStatus({
    containerId: restored.containerId,
    verbose: true,
  });
  assert.equal((JSON.parse(answer.info['info'] ?? '{}') as { restored: boolean }).restored, true);
  assert.equal(answer.status?.image?.image, image);
  await runtime().stopContainer({ containerId: restored.containerId, timeout: 0n });
  const ended = await runtime().containerStatus({ containerId: restored.containerId });
  assert.equal(ended.status?.exitCode, 137);
  await removePod(other);
  assert.equal(await overlays(), clean);
  assert.deepEqual(await readdir('/var/lib/gantry/sandbox/checkpoints'), []);
});
