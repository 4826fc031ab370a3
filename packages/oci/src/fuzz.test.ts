import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf, RuntimeError } from '@gantry/errors';
import {
  choosePlatform,
  formatReference,
  hostPlatforms,
  isDigest,
  mediaTypes,
  parseDockerArchiveManifest,
  parseImageConfig,
  parseImageDocument,
  parseReference,
} from './index.ts';

/** More by hand: `GANTRY_FUZZ_ROUNDS=100000`. */
const rounds = Number(process.env['GANTRY_FUZZ_ROUNDS'] ?? 400);
const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;
const descriptor = { mediaType: mediaTypes.ociLayer, digest, size: 1234 };

/** What is parsed, well formed: each is spoiled in many ways. */
const documents: Readonly<Record<string, unknown>> = {
  manifest: {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptor,
    layers: [descriptor, { ...descriptor, annotations: { a: 'b' } }],
    annotations: { c: 'd' },
  },
  index: {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [
      { ...descriptor, platform: { os: 'linux', architecture: 'amd64' } },
      { ...descriptor, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
    ],
  },
  config: {
    os: 'linux',
    architecture: 'amd64',
    config: { User: '0:0', Env: ['A=b'], Cmd: ['sh'], Volumes: { '/v': {} }, Labels: { l: 'm' } },
    rootfs: { type: 'layers', diff_ids: [digest] },
  },
  archive: [{ Config: 'c.json', RepoTags: ['a:1'], Layers: ['a/layer.tar'] }],
};

/** A small generator with a seed, so that a failure can be had again. */
function randomOf(seed: number): (below: number) => number {
  let state = Math.imul(seed, 2_654_435_761) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) % below;
  };
}

const odd: readonly unknown[] = [
  ...[null, true, 0, -1, 2, 0.5, 1e300, 2 ** 53, '', '\0', '../../etc', 'x'.repeat(5000)],
  ...[[], {}, [[]], [null], { '': null }, JSON.parse('{"__proto__": {}}') as object],
  ...[digest, 'sha256:', `sha512:${'a'.repeat(64)}`, 'SHA256:AA', mediaTypes.ociIndex],
  Array.from({ length: 600 }, () => descriptor),
];
const keys = ['manifests', 'layers', 'config', 'schemaVersion', 'mediaType', '__proto__', 'size'];

/** Changes the value, or one of those within it. */
function spoiled(value: unknown, random: (below: number) => number): unknown {
  const isLeaf = typeof value !== 'object' || value === null;
  if (isLeaf || random(6) === 0) {
    return odd[random(odd.length)];
  }
  if (Array.isArray(value)) {
    const at = random(value.length + 1);
    return value.toSpliced(at, random(2), spoiled(value[at], random));
  }
  const entries: [string, unknown][] = Object.entries(value);
  const at = random(entries.length + 1);
  const [key, old] = entries[at] ?? [keys[random(keys.length)] ?? '', 1];
  const rest = entries.filter(([name]) => name !== key);
  return Object.fromEntries(random(5) === 0 ? rest : [...rest, [key, spoiled(old, random)]]);
}

function bytesOf(document: unknown, random: (below: number) => number): Buffer {
  let changed = document;
  for (let i = 0; i <= random(3); i++) {
    changed = spoiled(changed, random);
  }
  const bytes = Buffer.from(JSON.stringify(changed));
  for (let i = 0; i < random(4) && bytes.length > 0 && random(2) === 0; i++) {
    bytes[random(bytes.length)] = random(256);
  }
  return random(5) === 0 ? bytes.subarray(0, random(bytes.length + 1)) : bytes;
}

/** Reads it as each of the things it may be told to be, and looks at what came of that. */
const readers: readonly ((bytes: Buffer, random: (below: number) => number) => void)[] = [
  (bytes, random) => {
    const types = ['', ...Object.values(mediaTypes)];
    const parsed = parseImageDocument(bytes, 'it', types[random(types.length)]);
    if (parsed.kind === 'index') {
      const chosen = choosePlatform(parsed.index.manifests, hostPlatforms());
      assert.ok(chosen === undefined || isDigest(chosen.digest));
      return;
    }
    const { config, layers } = parsed.manifest;
    assert.ok(layers.length <= 500);
    for (const blob of [config, ...layers]) {
      assert.ok(isDigest(blob.digest) && Number.isSafeInteger(blob.size) && blob.size >= 0);
    }
  },
  (bytes) => {
    const { diffIds, env, user } = parseImageConfig(bytes, 'it');
    assert.ok(diffIds.every(isDigest) && env.every((word) => typeof word === 'string'));
    assert.equal(typeof user, 'string');
  },
  (bytes) => {
    for (const { Config, Layers } of parseDockerArchiveManifest(bytes, 'it')) {
      assert.ok([Config, ...Layers].every((name) => typeof name === 'string'));
    }
  },
];

test(`${rounds} spoiled documents are read, or refused in one clear line`, () => {
  let [read, refused] = [0, 0];
  for (let seed = 1; seed <= rounds; seed++) {
    const random = randomOf(seed);
    const names = Object.keys(documents);
    const bytes = bytesOf(documents[names[random(names.length)] ?? ''], random);
    for (const reader of readers) {
      try {
        reader(bytes, random);
        read += 1;
      } catch (error) {
        const { message } = error as Error;
        const isClear = error instanceof RuntimeError && kindOf(error) === 'invalid-argument';
        assert.ok(isClear && /^it: [ -~]{1,1000}$/.test(message), `seed ${seed}: ${String(error)}`);
        refused += 1;
      }
    }
  }
  assert.ok(read > rounds / 20 && refused > rounds / 2, `${read} read, ${refused} refused`);
});

test(`${rounds} names are parsed to what parses to itself again, or refused`, () => {
  const parts = [
    'a',
    'B',
    'lib',
    'x.io',
    ':5000',
    ':1',
    '@',
    digest,
    '/',
    '//',
    '..',
    '-',
    '_',
    ' ',
  ];
  let parsed = 0;
  for (let seed = 1; seed <= rounds; seed++) {
    const random = randomOf(seed);
    const count = 1 + random(7);
    const name = Array.from({ length: count }, () => parts[random(parts.length)] ?? '').join('');
    try {
      const full = formatReference(parseReference(name));
      assert.equal(formatReference(parseReference(full)), full, `seed ${seed}: ${name}`);
      parsed += 1;
    } catch (error) {
      assert.equal(kindOf(error), 'invalid-argument', `seed ${seed}: ${name}: ${String(error)}`);
    }
  }
  assert.ok(parsed > rounds / 50);
});
