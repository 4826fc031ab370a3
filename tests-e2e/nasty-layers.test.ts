import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
// oxlint-disable-next-line no-restricted-imports -- the package's own entries for tests
import { nastyLayers } from '@gantry/erofs/nasty-layers';
// oxlint-disable-next-line no-restricted-imports -- the package's own entries for tests
import {
  dumpTree,
  extractWithTar,
  settledDirectories,
  withoutMadeUpTimes,
} from '@gantry/erofs/reference-tree';
import { run } from '@gantry/host';
import { importImage } from './harness/image.ts';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { runDir } from './harness/run-dir.ts';
import { startStack } from './harness/stack.ts';

// What a container sees of layers that hold every nasty thing, beside GNU tar's idea of them.

// Named each time: a host may have GNU's own, which write some names in another way.
const digests = 'cd "$0" && busybox find . -type f -exec busybox sha256sum {} + | busybox sort';

for (const layerStore of ['auto', 'directories'] as const) {
  test(`a container sees names of any bytes, links, holes, times and attributes as GNU tar extracts them (${layerStore})`, async () => {
    await using stack = await startStack({ layerStore });
    const layers = nastyLayers('nasty/');
    const image = await importImage(stack, { name: 'nasty', onBusybox: true, layers });
    const pod = await runPod(stack, podConfig(stack, 'nasty'));
    const config = shellContainer('c', 'exec sleep 1000', { image: { image: image.name } });
    const containerId = await startContainer(stack, pod, config);
    const reference = join(runDir(), `nasty-${layerStore}`);
    extractWithTar(reference, layers);
    try {
      const { info } = await stack.runtime.containerStatus({ containerId, verbose: true });
      const { pid } = JSON.parse(info['info'] ?? '{}') as { pid: number };
      const settled = settledDirectories(nastyLayers());
      const [seen, expected] = [
        withoutMadeUpTimes(await dumpTree(`/proc/${pid}/root/nasty`), settled),
        withoutMadeUpTimes(await dumpTree(join(reference, 'nasty')), settled),
      ];
      assert.ok(Object.keys(expected).length > 5000);
      assert.deepEqual(seen, expected);

      // From inside, by the container's own tools.
      const inside = await stack.runtime.execSync({
        containerId,
        cmd: ['sh', '-c', digests, '/nasty'],
      });
      assert.equal(inside.exitCode, 0, Buffer.from(inside.stderr).toString());
      const outside = await run('busybox', ['sh', '-c', digests, join(reference, 'nasty')], {
        maxOutputBytes: 16 << 20,
      });
      assert.ok(inside.stdout.length > 300_000);
      assert.equal(sha256(inside.stdout), sha256(outside.stdout));
    } finally {
      await rm(reference, { recursive: true });
      await removePod(stack, pod.podSandboxId);
    }
  });
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
