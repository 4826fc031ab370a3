import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { kindOf, messageOf } from '@gantry/errors';
import { type Digest, parseDigest } from '@gantry/oci';
import {
  ImageFsInfoRequestSchema,
  ImageStatusRequestSchema,
  ListImagesRequestSchema,
  PullImageRequestSchema,
  RemoveImageRequestSchema,
  StreamImagesRequestSchema,
} from '@gantry/proto';
import { pinnedBy } from '../images/pinned.ts';
import type { Credentials } from '../ports.ts';
import type { ImageRecord } from '../store/image-records.ts';
import { criImageOf } from './cri-image.ts';
import { imageFsInfo } from './image-fs-info.ts';
import { imageStatus } from './image-status.ts';
import { listImages } from './list-images.ts';
import { pullImage } from './pull-image.ts';
import { removeImage } from './remove-image.ts';
import { streamImages } from './stream-images.ts';

const context = { signal: new AbortController().signal, method: '' };
const digest = (n: number): Digest => parseDigest(`sha256:${String(n).padStart(64, '0')}`);
const record = (n: number, more: Partial<ImageRecord> = {}): ImageRecord => ({
  id: digest(n),
  repoTags: [`docker.io/library/i${n}:latest`],
  repoDigests: [],
  bytes: 5,
  user: '',
  ...more,
});
const records = [record(1), record(2, { user: '1002:5' }), record(3, { user: 'www-data:4' })];
const images = {
  list: () => records,
  find: (name: string) => records.find(({ repoTags }) => repoTags[0]?.includes(`/${name}:`)),
  layersOf: () => [digest(7), digest(8)],
};
const criImage = criImageOf(pinnedBy(['i1']));
const content = { read: () => Promise.resolve(Buffer.from('{"os":"linux"}')) };

test('the user of an image is a uid, a name, or neither', () => {
  const [one, two, three] = records.map(criImage);
  assert.deepEqual([one?.uid, one?.username], [undefined, undefined]);
  assert.deepEqual([two?.uid, two?.username], [{ value: 1002n }, undefined]);
  assert.deepEqual([three?.uid, three?.username], [undefined, 'www-data']);
});

test('the sandbox image is pinned, whatever form its name has', () => {
  assert.deepEqual(
    records.map((image) => criImage(image).pinned),
    [true, false, false],
  );
});

test('a list can be filtered by a name, an unknown one gives nothing', async () => {
  const list = async (image: string) => {
    const request = create(ListImagesRequestSchema, { filter: { image: { image } } });
    return (await listImages({ images, criImage })(request, context)).images?.length;
  };
  assert.deepEqual([await list(''), await list('i2'), await list('no')], [3, 1, 0]);
});

test('a streamed list comes in parts, and not at all when it is empty', async () => {
  const many = {
    list: () => Array.from({ length: 250 }, (_, n) => record(n)),
    find: () => undefined,
  };
  const request = create(StreamImagesRequestSchema, {});
  const parts = async (from: typeof many) =>
    (await Array.fromAsync(streamImages({ images: from, criImage })(request, context))).map(
      (part) => part.images?.length,
    );
  assert.deepEqual(await parts(many), [100, 100, 50]);
  assert.deepEqual(await parts({ ...many, list: () => [] }), []);
});

test('the status of an unknown image is empty, of a known one verbose on request', async () => {
  const ask = (image: string, verbose: boolean) =>
    imageStatus({ images, content, criImage })(
      create(ImageStatusRequestSchema, { image: { image }, verbose }),
      context,
    );
  assert.deepEqual(await ask('no', true), {});
  assert.deepEqual((await ask('i2', false)).image, criImage(record(2, { user: '1002:5' })));
  assert.equal((await ask('i2', false)).info, undefined);
  const { info } = await ask('i2', true);
  assert.deepEqual(JSON.parse(info?.['info'] ?? ''), {
    // printf 'sha256:<7> sha256:<8>' | sha256sum
    chainID: 'sha256:aaabb37e19393c4c7c726c2c70f5e2b4f59ccd065d6abb67989a09836ce1a6e7',
    imageSpec: { os: 'linux' },
  });
});

test('a pull answers with the id, and passes on what it may', async () => {
  const calls: [string, Credentials | undefined][] = [];
  const lines: object[] = [];
  const log = { info: (fields: object | string) => lines.push(Object(fields)) };
  const puller = {
    pull: (name: string, { credentials }: { credentials?: Credentials | undefined }) => {
      calls.push([name, credentials]);
      return Promise.resolve(digest(1));
    },
  };
  const pull = (image: string, serverAddress: string) =>
    pullImage({ puller, log })(
      create(PullImageRequestSchema, {
        image: { image },
        auth: { username: 'u', password: 'p', serverAddress },
      }),
      context,
    );
  assert.deepEqual(await pull('r.example/a', 'r.example'), { imageRef: digest(1) });
  assert.partialDeepStrictEqual(lines, [{ image: 'r.example/a', id: digest(1) }]);
  await pull('r.example/a', 'other.example');
  assert.deepEqual(
    calls.map(([, c]) => c?.username),
    ['u', undefined],
  );
  const told = async (asked: Promise<unknown>): Promise<string> => {
    const error: unknown = await asked.catch((thrown: unknown) => thrown);
    assert.equal(kindOf(error), 'invalid-argument');
    return messageOf(error);
  };
  assert.equal(await told(pull('', '')), 'pull image: the request names no image');
  assert.match(await told(pull('UPPER case', '')), /^pull image: image reference "UPPER case": /);
  assert.match(await told(pull('r.example/a', 'no url')), /^pull image: auth: /);
});

test('a request without a name is told with what it asks for', async () => {
  const status = imageStatus({ images, content, criImage });
  const store = { images } as unknown as Parameters<typeof removeImage>[0]['store'];
  const remove = removeImage({ store, log: { info: () => undefined } });
  for (const image of [undefined, { image: '' }]) {
    await assert.rejects(async () => status(create(ImageStatusRequestSchema, { image }), context), {
      kind: 'invalid-argument',
      message: 'image status: the request names no image',
    });
    await assert.rejects(async () => remove(create(RemoveImageRequestSchema, { image }), context), {
      kind: 'invalid-argument',
      message: 'remove image: the request names no image',
    });
  }
});

test('file system info tells images and roots apart', async () => {
  const info = await imageFsInfo({
    mountpoint: '/x',
    imageUsage: () => Promise.resolve({ bytes: 10, inodes: 2 }),
    rootUsage: () => Promise.resolve({ bytes: 20, inodes: 3 }),
    clock: () => 5,
  })(create(ImageFsInfoRequestSchema), context);
  assert.deepEqual(info, {
    imageFilesystems: [
      {
        timestamp: 5_000_000n,
        fsId: { mountpoint: '/x' },
        usedBytes: { value: 10n },
        inodesUsed: { value: 2n },
      },
    ],
    containerFilesystems: [
      {
        timestamp: 5_000_000n,
        fsId: { mountpoint: '/x' },
        usedBytes: { value: 20n },
        inodesUsed: { value: 3n },
      },
    ],
  });
});
