import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { mountInfo } from '@gantry/host';
import { hostOf, leaks } from './harness/host.ts';
import { type ImportedImage, importImage } from './harness/image.ts';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { killServices, pidsOf } from './harness/services.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

// Images of many layers, and one mount that their containers share.

const layers = 127;
let stack: Stack;
let many: ImportedImage;
let isErofs: boolean;
before(async () => {
  stack = await startStack();
  many = await importImage(stack, {
    name: 'many-layers',
    onBusybox: true,
    layers: Array.from({ length: layers - 1 }, (_, i) => [
      { type: 'file' as const, path: 'changed', content: `by layer ${i}\n` },
      { type: 'file' as const, path: `many/${i}`, content: `${i}\n`, mode: 0o4755 },
      ...(i % 2 === 1 ? [{ type: 'file' as const, path: `many/.wh.${i - 1}`, content: '' }] : []),
    ]),
  });
  const log = await readFile(`${stack.stateDir}/log/image-service.log`, 'utf8');
  isErofs = !log.includes('layers are kept as directories');
});
after(async () => {
  await stack[Symbol.asyncDispose]();
});

const erofsMounts = async (): Promise<string[]> =>
  (await mountInfo())
    .filter((m) => m.fsType === 'erofs' && m.mountPoint.startsWith(stack.stateDir))
    .map((m) => m.mountPoint);
const output = async (containerId: string, script: string): Promise<string> => {
  const { stdout, stderr, exitCode } = await stack.runtime.execSync({
    containerId,
    cmd: ['sh', '-c', script],
  });
  assert.equal(exitCode, 0, Buffer.from(stderr).toString());
  return Buffer.from(stdout).toString();
};
const looksRight = async (containerId: string): Promise<void> => {
  assert.equal(await output(containerId, 'cat /changed'), `by layer ${layers - 2}\n`);
  assert.equal(await output(containerId, 'ls /many | wc -l'), `${(layers - 1) / 2}\n`);
  assert.equal(await output(containerId, 'stat -c %a /many/1'), '4755\n');
};

test('containers of an image of 127 layers see it as one, over one mount, across a crash', async () => {
  const clean = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'layers'));
  const ofPause = (await erofsMounts()).length;
  const image = { image: { image: many.name } };
  const sleep = 'exec sleep 1000';
  const one = await startContainer(stack, pod, shellContainer('one', sleep, image));
  const two = await startContainer(stack, pod, shellContainer('two', sleep, image));
  assert.equal((await erofsMounts()).length, ofPause + (isErofs ? 1 : 0));
  await looksRight(one);
  await output(one, 'echo mine >> /changed; rm /many/1; mkdir /many/1; mv /many/3 /many/moved');
  assert.equal(
    await output(one, 'cat /changed; ls -d /many/1 /many/moved'),
    `by layer ${layers - 2}\nmine\n/many/1\n/many/moved\n`,
  );
  await looksRight(two);

  const before = await erofsMounts();
  const killed = killServices(stack, 'image-service');
  await until(
    'image-service runs again',
    () =>
      stack.images.imageFsInfo({}).then(
        () => pidsOf(stack, 'image-service').some((pid) => !killed.includes(pid)),
        () => false,
      ),
    (answers) => answers,
    60_000,
  );
  assert.deepEqual(await erofsMounts(), before);
  await stack.images.removeImage({ image: { image: many.name } });
  await looksRight(two);

  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(await erofsMounts(), []);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});
