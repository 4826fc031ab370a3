import { createHash } from 'node:crypto';
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { buildImage, decodeIndex, encodeIndex, LayerTreeBuilder } from '@gantry/erofs';
import { openErofs } from '@gantry/host';
import { TarReader } from '@gantry/tar';
import type { PullImage } from './pull-images.ts';
import { median } from './table.ts';

interface Manifest {
  readonly layers: readonly { readonly digest: string }[];
}

const rounds = 5;

/** What each part of a pull takes when it is all that runs, on one CPU: what bounds the whole. */
export async function measureParts(image: PullImage, dir: string): Promise<string> {
  const samples = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    await mkdir(dir);
    await onePass(image, dir, async (part, run) => {
      const start = performance.now();
      const result = await run();
      samples.set(part, [...(samples.get(part) ?? []), performance.now() - start]);
      return result;
    });
    await rm(dir, { recursive: true });
  }
  const lines = [...samples].map(
    ([part, times]) => `  ${part.padEnd(38)}${median(times).toFixed(1).padStart(8)} ms\n`,
  );
  return `\nWhat bounds it, each part alone on one CPU:\n${lines.join('')}`;
}

type Timed = <T>(part: string, run: () => T | Promise<T>) => Promise<T>;

async function onePass(image: PullImage, dir: string, timed: Timed): Promise<void> {
  const blobs = await timed('network (loopback, one by one)', () => fetchLayers(image.name));
  await timed('sha256 of what comes', () => blobs.map(sha256));
  const tars = await timed('inflate', () => blobs.map((blob) => gunzipSync(blob)));
  await timed('sha256 of the tars', () => tars.map(sha256));
  const paths = tars.map((_, i) => join(dir, `tar-${i}`));
  const files = await timed('write', () => tars.map((tar, i) => writeTar(paths[i] ?? '', tar)));
  await timed('fdatasync', () => {
    for (const fd of files) {
      fdatasyncSync(fd);
    }
  });
  files.forEach(closeSync);
  const indexes = await timed('index', () => tars.map(indexOf));
  const source = join(dir, 'image');
  const { devices } = await timed('metadata of the image', async () => {
    const built = buildImage(indexes.map((index, layer) => decodeIndex(index, layer)));
    await writeFile(source, built.bytes);
    return built;
  });
  await timed('mount', () =>
    openErofs({ source, devices: devices.map(({ layer }) => paths[layer] ?? '') })[
      Symbol.dispose
    ](),
  );
}

async function fetchLayers(name: string): Promise<Buffer[]> {
  const [, host = '', path = '', tag = ''] = /^([^/]+)\/(.+):([^:]+)$/.exec(name) ?? [];
  const base = `http://${host}/v2/${path}`;
  const accept = 'application/vnd.oci.image.manifest.v1+json';
  const answer = await fetch(`${base}/manifests/${tag}`, { headers: { accept } });
  const { layers } = (await answer.json()) as Manifest;
  const blobs: Buffer[] = [];
  for (const { digest } of layers) {
    blobs.push(Buffer.from(await (await fetch(`${base}/blobs/${digest}`)).arrayBuffer()));
  }
  return blobs;
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function writeTar(path: string, tar: Buffer): number {
  const fd = openSync(path, 'w');
  for (let at = 0; at < tar.length; at += 256 << 10) {
    writeSync(fd, tar.subarray(at, at + (256 << 10)));
  }
  return fd;
}

function indexOf(tar: Buffer): Buffer {
  const builder = new LayerTreeBuilder(() => undefined);
  const reader = new TarReader(builder);
  reader.push(tar);
  reader.finish();
  return encodeIndex(builder.finish(tar.length));
}
