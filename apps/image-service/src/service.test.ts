import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { busClient } from '@gantry/bus';
// oxlint-disable-next-line no-restricted-imports -- the package's own entry for tests
import { startTestNats } from '@gantry/bus/testing';
import { completeConfig } from '@gantry/config';
import { ImageService, RootFilesystems } from '@gantry/proto';
import { startService } from '@gantry/service-kit';
import { service } from './service.ts';
import { makeImage } from './testing/test-image.ts';
import { temporaryDirectory } from './testing/test-images.ts';
import { startProxy } from './testing/test-proxy.ts';
import { cannotRun, startRegistry } from './testing/test-registry.ts';

const skip = cannotRun;
const image = makeImage({ layers: [[{ path: 'f', data: 'x' }]], user: '7' });

test('the whole service answers over the bus, and a cancel reaches a pull', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const asked = Promise.withResolvers<void>();
  const hungUp = Promise.withResolvers<void>();
  const silent = await startProxy(t, registry.host, ({ response }) => {
    response.on('close', () => hungUp.resolve());
    asked.resolve();
  });
  const nats = await startTestNats(t);
  const directory = temporaryDirectory(t);
  const config = completeConfig({
    node_name: nats.node,
    root_dir: join(directory, 'root'),
    state_dir: join(directory, 'state'),
    nats: { url: nats.url, credentials_dir: dirname(nats.files.credentialsFiles.image) },
    images: { registry_config_path: '' },
    log: { level: 'error' },
  });
  await using _running = await startService(service, { config });
  const images = busClient(await nats.connect('gateway'), 'image', ImageService);
  const roots = busClient(await nats.connect('sandbox'), 'image', RootFilesystems);
  const name = `${registry.host}/app:v1`;

  assert.equal((await images.pullImage({ image: { image: name } })).imageRef, image.id);
  const { image: status } = await images.imageStatus({ image: { image: name } });
  assert.deepEqual([status?.id, status?.uid?.value], [image.id, 7n]);
  const listed = await Array.fromAsync(images.streamImages({}));
  assert.deepEqual(
    listed.flatMap((part) => part.images.map(({ id }) => id)),
    [image.id],
  );
  const { imageFilesystems } = await images.imageFsInfo({});
  assert.ok((imageFilesystems[0]?.usedBytes?.value ?? 0n) > 0n);

  const root = await roots.prepareRoot({ ownerId: 'c1', image: name, pullIfMissing: false });
  assert.equal(root.image?.id, image.id);
  assert.deepEqual(Buffer.from(root.image.configJson), image.blobs.get(image.id));
  assert.deepEqual((await roots.listRoots({})).ownerIds, ['c1']);
  await roots.releaseRoot({ ownerId: 'c1' });
  await images.removeImage({ image: { image: image.id } });
  assert.deepEqual((await images.listImages({})).images, []);
  await assert.rejects(images.pullImage({ image: { image: `${registry.host}/no:v1` } }), {
    kind: 'not-found',
    message: /pull image .*\/no:v1: manifest for /,
  });

  const controller = new AbortController();
  const { signal } = controller;
  const pull = images.pullImage({ image: { image: `${silent.host}/app:v1` } }, { signal });
  await asked.promise;
  controller.abort();
  await assert.rejects(pull, { kind: 'canceled' });
  await hungUp.promise;
});
