import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildImage } from '@gantry/debian-image';
import { run } from '@gantry/host';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { type Registry, startRegistry } from './harness/registry.ts';
import { imageLayout } from './harness/run-dir.ts';
import { type Stack, startStack } from './harness/stack.ts';

let stack: Stack;
let registry: Registry;
let image: string;
before(async () => {
  registry = await startRegistry();
  await registry.push(imageLayout('busybox'), 'lib/busybox:1');
  image = `${registry.host}/lib/busybox:1`;
  stack = await startStack({ busybox: false });
});
after(async () => {
  await stack[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

const pull = (name: string) => stack.images.pullImage({ image: { image: name } });
const find = async (name: string) =>
  (await stack.images.imageStatus({ image: { image: name } })).image;
const blobFile = (digest: string) => {
  const hex = digest.slice('sha256:'.length);
  return join(registry.storageDir, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
};

interface Manifest {
  config: { digest: string };
  layers: { digest: string; size: number }[];
}
async function manifestOf(name: string): Promise<{ digest: string; manifest: Manifest }> {
  const [path, tag] = name.split(':');
  const response = await fetch(`http://${registry.host}/v2/${path}/manifests/${tag}`, {
    headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
  });
  const text = await response.text();
  return {
    digest: `sha256:${createHash('sha256').update(text).digest('hex')}`,
    manifest: JSON.parse(text) as Manifest,
  };
}
/** Partial downloads and half-unpacked layers that a failed pull left. */
async function leftovers(): Promise<string[]> {
  const all = await readdir(stack.rootDir, { recursive: true });
  return all.filter((path) => /ingest\/.|\.tmp|\.partial/.test(path));
}

test('an image has one id in every answer, and goes by tag, digest, id and prefix', async () => {
  const { imageRef } = await pull(image);
  assert.match(imageRef, /^sha256:[0-9a-f]{64}$/);
  const byTag = await find(image);
  assert.equal(byTag?.id, imageRef);
  assert.deepEqual(byTag.repoTags, [image]);
  assert.equal(byTag.repoDigests.length, 1);
  assert.ok(byTag.size > 0n);
  for (const name of [
    String(byTag.repoDigests[0]),
    imageRef,
    imageRef.slice(7),
    imageRef.slice(7, 20),
  ]) {
    assert.equal((await find(name))?.id, imageRef, name);
  }
  const { images } = await stack.images.listImages({});
  assert.ok(images.some((i) => i.id === imageRef));
  assert.equal(await find('localhost/never/seen:1'), undefined);
});

test('ImageFsInfo counts the bytes that the image takes', async () => {
  await pull(image);
  const { imageFilesystems } = await stack.images.imageFsInfo({});
  const [fs] = imageFilesystems;
  assert.ok((fs?.usedBytes?.value ?? 0n) > 100_000n);
  assert.ok((fs?.inodesUsed?.value ?? 0n) > 0n);
  assert.ok((fs?.timestamp ?? 0n) > 0n);
  assert.match(fs?.fsId?.mountpoint ?? '', /^\//);
});

test('removing an image removes all its names, while a container that runs it goes on', async () => {
  await pull(image);
  const { digest } = await manifestOf('lib/busybox:1');
  await pull(`${registry.host}/lib/busybox@${digest}`);
  const pod = await runPod(stack, podConfig(stack, 'imguse'));
  const containerId = await startContainer(
    stack,
    pod,
    shellContainer('c', 'exec sleep 1000', { image: { image } }),
  );
  await stack.images.removeImage({ image: { image } });
  assert.equal(await find(image), undefined);
  assert.equal(await find(`${registry.host}/lib/busybox@${digest}`), undefined);
  await stack.images.removeImage({ image: { image } });
  const { exitCode } = await stack.runtime.execSync({ containerId, cmd: ['ls', '/bin'] });
  assert.equal(exitCode, 0);
  const { status } = await stack.runtime.containerStatus({ containerId });
  assert.match(status?.imageRef ?? '', /sha256:/);
  await removePod(stack, pod.podSandboxId);
});

test('what the registry does not have is not found, by name and host', async () => {
  await assert.rejects(pull(`${registry.host}/lib/none:1`), {
    kind: 'not-found',
    message: new RegExp(`${registry.host}/lib/none:1`),
  });
  await assert.rejects(pull(`${registry.host}/lib/busybox@sha256:${'0'.repeat(64)}`), {
    kind: 'not-found',
    message: /sha256:0{64}/,
  });
  await assert.rejects(pull('127.0.0.1:1/a/b:1'), { message: /127\.0\.0\.1:1/ });
  await assert.rejects(pull('Not A Reference'), {
    kind: 'invalid-argument',
    message: /Not A Reference/,
  });
});

test('a layer whose bytes are not what its digest says is refused, and nothing stays', async () => {
  await registry.push(imageLayout('busybox'), 'lib/spoiled:1');
  const { manifest } = await manifestOf('lib/spoiled:1');
  await stack.images.removeImage({ image: { image } });
  const file = blobFile(String(manifest.layers[0]?.digest));
  const good = await readFile(file);
  const bad = Buffer.from(good);
  bad.writeUInt8(bad.readUInt8(bad.length >> 1) ^ 0xff, bad.length >> 1);
  await writeFile(file, bad);
  try {
    await assert.rejects(pull(`${registry.host}/lib/spoiled:1`), {
      message: new RegExp(`spoiled:1.*${manifest.layers[0]?.digest}`, 's'),
    });
  } finally {
    await writeFile(file, good);
  }
  assert.equal(await find(`${registry.host}/lib/spoiled:1`), undefined);
  assert.deepEqual(await leftovers(), []);
  await pull(`${registry.host}/lib/spoiled:1`);
  await stack.images.removeImage({ image: { image: `${registry.host}/lib/spoiled:1` } });
});

test('a registry that hangs up in mid-layer is resumed, and one that never gives more is an error', async () => {
  const { manifest } = await manifestOf('lib/busybox:1');
  const layer = String(manifest.layers[0]?.digest);
  let cuts = 1;
  let givesMore = true;
  const ranges: (string | undefined)[] = [];
  const proxy = createServer((incoming, outgoing) => {
    const isLayer = incoming.url?.includes(layer) ?? false;
    if (isLayer) {
      ranges.push(incoming.headers.range);
    }
    const upstream = httpRequest(
      `http://${registry.host}${incoming.url}`,
      { method: incoming.method, headers: { ...incoming.headers, host: registry.host } },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        if (isLayer && cuts > 0) {
          cuts--;
          outgoing.flushHeaders();
          answer.once('data', (chunk: Buffer) => {
            outgoing.write(givesMore ? chunk.subarray(0, chunk.length >> 1) : '', () =>
              outgoing.destroy(),
            );
            answer.destroy();
          });
        } else {
          answer.pipe(outgoing);
        }
      },
    );
    incoming.pipe(upstream);
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  try {
    const name = `127.0.0.1:${(proxy.address() as AddressInfo).port}/lib/busybox:1`;
    await stack.images.removeImage({ image: { image } });
    const { imageRef } = await pull(name);
    assert.equal((await find(name))?.id, imageRef);
    assert.ok(ranges.length >= 2, `asked ${ranges.length} times`);
    await stack.images.removeImage({ image: { image: name } });

    [cuts, givesMore] = [1_000_000, false];
    await assert.rejects(pull(name), { message: new RegExp(`lib/busybox:1.*${layer}`, 's') });
    assert.equal(await find(name), undefined);
    assert.deepEqual(await leftovers(), []);
  } finally {
    proxy.close();
    proxy.closeAllConnections();
  }
});

test('a mirror of hosts.toml is asked first, without a restart', async () => {
  const dir = join(stack.dir, 'certs.d', 'registry.example');
  await mkdir(dir, { recursive: true });
  await writeFile(
    join(dir, 'hosts.toml'),
    `server = "https://registry.example"\n[host."http://${registry.host}"]\ncapabilities = ["pull", "resolve"]\n`,
  );
  const { imageRef } = await pull('registry.example/lib/busybox:1');
  assert.deepEqual((await find('registry.example/lib/busybox:1'))?.id, imageRef);
  await stack.images.removeImage({ image: { image: imageRef } });
});

test('a full disk in mid-pull is one clear error, leaves nothing, and the service works on', async () => {
  const small = await startStackOnSmallDisk();
  try {
    await assert.rejects(
      small.images.pullImage({ image: { image: `${registry.host}/lib/big:1` } }),
      { kind: 'resource-exhausted', message: /lib\/big:1.*no space left/s },
    );
    const { images } = await small.images.listImages({});
    assert.ok(images.every((i) => !i.repoTags.some((tag) => tag.includes('/big:'))));
    await small.images.pullImage({ image: { image } });
  } finally {
    await small[Symbol.asyncDispose]();
  }
});

/** A stack whose root_dir is a tmpfs too small for lib/big:1, which this pushes. */
async function startStackOnSmallDisk(): Promise<Stack> {
  const layout = join(stack.dir, 'big-layout');
  await buildBigImage(layout, 64 << 20);
  await registry.push(layout, 'lib/big:1');
  return startStack({ busybox: false, rootDirTmpfsBytes: 40 << 20 });
}

async function buildBigImage(outDir: string, bytes: number): Promise<void> {
  await buildImage({
    outDir,
    name: 'big',
    layers: [[{ type: 'file', path: 'big-file', content: randomBytes(bytes) }]],
  });
}

test('OCI layouts and docker archives are imported, and a bad archive changes nothing', async () => {
  const archive = join(stack.dir, 'busybox.tar');
  await run('skopeo', [
    'copy',
    '--quiet',
    `oci:${imageLayout('busybox')}`,
    `docker-archive:${archive}:imported/busybox:2`,
  ]);
  await stack.gantryOk('image', 'import', archive);
  assert.ok(await find('docker.io/imported/busybox:2'));
  await stack.gantryOk(
    'image',
    'import',
    imageLayout('busybox'),
    '--name',
    'localhost/from/layout:1',
  );
  assert.ok(await find('localhost/from/layout:1'));

  const bytes = await readFile(archive);
  const bad = join(stack.dir, 'bad.tar');
  await writeFile(bad, bytes.subarray(0, bytes.length >> 1));
  const { exitCode, stderr } = await stack.gantry(
    'image',
    'import',
    bad,
    '--name',
    'localhost/bad:1',
  );
  assert.notEqual(exitCode, 0);
  assert.match(stderr, /bad\.tar/);
  assert.equal(await find('localhost/bad:1'), undefined);
  assert.deepEqual(await leftovers(), []);
});
