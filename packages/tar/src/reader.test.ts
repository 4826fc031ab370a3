import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { TarEntry, TarLimits, TarSink } from './entry.ts';
import { TarReader } from './reader.ts';
import { headerBlock, padded, paxRecord, type TestEntry, tarOf } from './testing.ts';

interface Read {
  readonly entry: TarEntry;
  readonly name: string;
  /** With the holes filled. */
  readonly data: Buffer;
}

class Recorder implements TarSink {
  readonly all: Read[] = [];
  #current: { entry: TarEntry; data: Buffer } | undefined;

  entry(entry: TarEntry): void {
    assert.equal(this.#current, undefined);
    this.#current = { entry, data: Buffer.alloc(Math.min(entry.size, 8 << 20)) };
  }

  data(chunk: Buffer, offset: number): void {
    chunk.copy(this.#current?.data ?? Buffer.alloc(0), offset);
  }

  end(): void {
    assert.ok(this.#current);
    this.all.push({ ...this.#current, name: this.#current.entry.path.toString('latin1') });
    this.#current = undefined;
  }
}

function read(archive: Buffer, step = archive.length, limits?: Partial<TarLimits>): Read[] {
  const sink = new Recorder();
  const reader = new TarReader(sink, limits);
  for (let at = 0; at < archive.length; at += step) {
    reader.push(archive.subarray(at, at + step));
  }
  reader.finish();
  return sink.all;
}

const plain = (entries: readonly TestEntry[], limits?: Partial<TarLimits>) =>
  read(tarOf(entries), undefined, limits);

test('the pieces in which an archive comes make no difference', () => {
  const archive = tarOf([
    { path: 'd/', type: 'directory', mode: 0o1777 },
    { path: `d/${'n'.repeat(200)}`, data: 'x'.repeat(1300), xattrs: { 'user.a': 'b\nc' } },
    { path: 'd/empty' },
    { path: 'd/full', data: 'y'.repeat(1024) },
    { path: 'd/l', type: 'hardlink', linkTarget: 'd/full' },
  ]);
  const whole = read(archive);
  assert.deepEqual(
    whole.map((r) => [r.entry.type, r.name.length, r.data.length]),
    [
      ['directory', 2, 0],
      ['file', 202, 1300],
      ['file', 7, 0],
      ['file', 6, 1024],
      ['hardlink', 3, 0],
    ],
  );
  for (const step of [1, 7, 511, 512, 513, 1024]) {
    assert.deepEqual(read(archive, step), whole);
  }
  const full = whole[3];
  assert.ok(full);
  const { dataOffset } = full.entry;
  assert.equal(archive.toString('latin1', dataOffset, dataOffset + 1024), 'y'.repeat(1024));
});

test('extension headers win over the block, and hold for one entry only', () => {
  const all = plain([
    {
      path: 'short',
      data: 'abc',
      pax: {
        path: Buffer.from([0x66, 0xff, 0x0a]),
        mtime: '-1.5',
        uid: '3000000',
        gid: '2000000000',
      },
      xattrs: { 'security.capability': Buffer.from([1, 0, 2]) },
    },
    { path: 'next', data: 'x' },
  ]);
  const [first, second] = all;
  assert.ok(first);
  assert.ok(second);
  assert.deepEqual(first.entry.path, Buffer.from([0x66, 0xff, 0x0a]));
  assert.equal(first.entry.mtimeNanos, -1_500_000_000n);
  assert.equal(first.entry.uid, 3_000_000);
  assert.equal(first.entry.gid, 2_000_000_000);
  assert.deepEqual(first.entry.xattrs.get('security.capability'), Buffer.from([1, 0, 2]));
  assert.equal(second.name, 'next');
  assert.equal(second.entry.xattrs.size, 0);
});

test('the size of a PAX header is the one that counts, for the entry and not for a long name before it', () => {
  const pax = paxRecord('size', '1024');
  const name = padded(Buffer.from('long\0'));
  const inner = tarOf([{ path: 'smuggled' }]).subarray(0, 512);
  const archive = Buffer.concat([
    headerBlock({ path: 'pax', flag: 'x', size: pax.length }),
    padded(pax),
    headerBlock({ path: '././@LongLink', flag: 'L', size: 5 }),
    name,
    headerBlock({ path: 'a', size: 0 }),
    inner,
    inner,
    tarOf([{ path: 'b' }]),
  ]);
  assert.deepEqual(
    read(archive).map((r) => [r.name, r.data.length]),
    [
      ['long', 1024],
      ['b', 0],
    ],
  );
});

test('a size field of what has no data is ignored', () => {
  const archive = Buffer.concat([
    headerBlock({ path: 'l', type: 'hardlink', linkTarget: 'x', size: 4096 }),
    tarOf([{ path: 'b' }]),
  ]);
  assert.deepEqual(
    read(archive).map((r) => r.name),
    ['l', 'b'],
  );
});

test('global headers are skipped, the end may be missing, and what follows it is ignored', () => {
  const global = paxRecord('path', 'evil');
  const body = tarOf([{ path: 'a' }]);
  const start = [headerBlock({ path: 'g', flag: 'g', size: global.length }), padded(global)];
  assert.equal(read(Buffer.concat([...start, body]))[0]?.name, 'a');
  assert.equal(read(body.subarray(0, 512))[0]?.name, 'a');
  assert.equal(read(Buffer.concat([body, Buffer.from('rubbish')])).length, 1);
});

const hostile: [name: string, archive: Buffer, why: RegExp, limits?: Partial<TarLimits>][] = [
  ['a wrong checksum', withByte(headerBlock({ path: 'a' }), 0, 0x62), /wrong header checksum/],
  ['no tar at all', Buffer.alloc(512, '<html>'), /wrong header checksum/],
  ['a negative size', sized(Buffer.alloc(12, 0xff)), /negative size/],
  [
    'a size beyond 2^53',
    sized(Buffer.concat([Buffer.from([0x80]), Buffer.alloc(11, 0x7f)])),
    /malformed size/,
  ],
  ['a size with letters', sized(Buffer.from('12x40000000\0')), /malformed size/],
  ['a size with a decimal 8', sized(Buffer.from('00000000018\0')), /malformed size/],
  ['a huge file', sized(Buffer.from([0x80, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 1])), /file of/],
  ['an unknown type', headerBlock({ path: 'a', flag: 'Z' }), /"a".*unknown type "Z"/],
  ['a PAX header of 2 MiB', headerBlock({ path: 'x', flag: 'x', size: 2 << 20 }), /PAX header of/],
  ['a long name of 1 MiB', headerBlock({ path: 'x', flag: 'L', size: 1 << 20 }), /long name of/],
  ['a long PAX path', tarOf([{ path: 'a'.repeat(5000) }]), /name of 5000 bytes/],
  ['a PAX record that overruns', paxOf('99 path=a\n'), /PAX record length/],
  ['a PAX record of length 0', paxOf('0 path=a\n'), /PAX record length/],
  ['a PAX record shorter than its length', paxOf('2 path=a\n'), /PAX record/],
  ['a PAX record without newline', paxOf('9 path=ab'), /malformed PAX record/],
  ['a PAX record without key', paxOf('7 =abc\n'), /malformed PAX record/],
  ['NUL in a PAX path', paxOf(paxRecord('path', 'a\0b')), /NUL in a name/],
  ['a negative PAX size', paxOf(paxRecord('size', '-1')), /"size": malformed number/],
  ['a PAX uid of -1', paxOf(paxRecord('uid', '4294967295')), /uid or gid out of range/],
  ['an empty xattr name', paxOf(paxRecord('SCHILY.xattr.', 'x')), /malformed name/],
  [
    'an end inside data',
    tarOf([{ path: 'a', data: 'x'.repeat(600) }]).subarray(0, 1030),
    /ends in the middle/,
  ],
  ['an end inside a header', tarOf([{ path: 'a' }]).subarray(0, 100), /ends in the middle/],
  [
    'an end after a PAX header',
    paxOf(paxRecord('path', 'b')).subarray(0, 1024),
    /after an extension/,
  ],
  [
    'too many entries',
    tarOf([{ path: 'a' }, { path: 'b' }, { path: 'c' }]),
    /more than 2 entries/,
    { maxEntries: 2 },
  ],
  [
    'a zero block between entries',
    Buffer.concat([Buffer.alloc(512), tarOf([{ path: 'a' }])]),
    /single zero block/,
  ],
  ['a sparse map out of order', sparse01('8,4,0,4', '16'), /out of order/],
  ['a sparse map beyond the file', sparse01('0,4,60,8', '64'), /beyond the file/],
  ['a sparse map with too little data', sparse01('0,4', '64'), /4 bytes for 8 bytes/],
  [
    'a sparse map with too many segments',
    sparse01('0,4,8,4', '64'),
    /more than 1 segments/,
    { maxSparseSegments: 1 },
  ],
  [
    'a sparse 1.0 map that lies about its count',
    sparse10('9999999999\n'),
    /sparse map of 9999999999/,
  ],
  ['a sparse 1.0 map that never ends', sparse10('2\n0\n1\n1\n'), /malformed sparse map/],
];

for (const [name, archive, why, limits] of hostile) {
  test(`an archive with ${name} is refused`, () => {
    for (const step of [archive.length, 13]) {
      assert.throws(() => read(archive, step, limits), { kind: 'invalid-argument', message: why });
    }
  });
}

test('random damage never does more than throw the right error', () => {
  const archive = tarOf([
    { path: 'a/b', data: 'x'.repeat(700), xattrs: { 'user.x': 'y' } },
    { path: 'l', type: 'symlink', linkTarget: 'z'.repeat(120) },
    { path: 's', data: 'abcdefgh', pax: { 'GNU.sparse.map': '0,4,60,4', 'GNU.sparse.size': '64' } },
  ]);
  let seed = 1;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  for (let round = 0; round < 3000; round++) {
    const damaged = Buffer.from(archive);
    for (let i = 0; i < 3; i++) {
      damaged[random(damaged.length)] = random(256);
    }
    try {
      read(damaged, 1 + random(900));
    } catch (error) {
      assert.equal((error as { kind?: string }).kind, 'invalid-argument', String(error));
    }
  }
});

for (const format of ['gnu', 'pax', 'ustar', 'v7', 'oldgnu']) {
  test(`what GNU tar writes in format ${format} is read`, (t) => {
    const dir = temporary(t);
    const long = format === 'pax' || format.endsWith('gnu') ? 'n'.repeat(180) : 'n'.repeat(60);
    sh(
      dir,
      `mkdir -p d/${long} && printf hello > d/${long}/f && ln -s ../${long} d/s && ln d/${long}/f d/h &&
       chmod 4755 d/h && touch -d '2001-02-03 04:05:06.5 UTC' d/h && mkfifo d/p &&
       tar --format=${format} --sort=name -cf t.tar ${format === 'ustar' || format === 'v7' ? '--exclude=p' : ''} d`,
    );
    const all = read(execFileSync('cat', [join(dir, 't.tar')], { maxBuffer: 1 << 24 }));
    const names = all.map((r) => `${r.entry.type} ${r.name.replaceAll(long, 'N')}`);
    assert.deepEqual(
      names.filter((n) => !n.endsWith('/p')),
      ['directory d/', 'file d/h', 'directory d/N/', 'hardlink d/N/f', 'symlink d/s'],
    );
    const file = all[1];
    assert.ok(file);
    assert.equal(file.data.toString(), 'hello');
    assert.equal(file.entry.mode, 0o4755);
    assert.equal(
      file.entry.mtimeNanos,
      format === 'pax' ? 981_173_106_500_000_000n : 981_173_106_000_000_000n,
    );
  });
}

for (const how of [
  '--format=gnu',
  '--format=pax --sparse-version=0.0',
  '--format=pax --sparse-version=0.1',
  '--format=pax --sparse-version=1.0',
]) {
  test(`a sparse file that GNU tar wrote with ${how} is read`, (t) => {
    const dir = temporary(t);
    // 40 segments need extension blocks in the old format, and a map of more than one block in 1.0.
    sh(
      dir,
      `for i in $(seq 0 39); do printf "part$i" | dd of=f bs=1 seek=$((i * 131072)) conv=notrunc 2>/dev/null; done
       truncate -s 6000000 f; printf tail > g; tar --hole-detection=raw --sparse ${how} -cf t.tar f g`,
    );
    const all = read(execFileSync('cat', [join(dir, 't.tar')], { maxBuffer: 1 << 24 }), 1000);
    assert.deepEqual(
      all.map((r) => r.name),
      ['f', 'g'],
    );
    const sparse = all[0];
    assert.ok(sparse);
    assert.equal(sparse.entry.size, 6_000_000);
    assert.ok((sparse.entry.segments?.length ?? 0) >= 40);
    assert.deepEqual(sparse.data, execFileSync('cat', [join(dir, 'f')], { maxBuffer: 1 << 24 }));
    assert.equal(all[1]?.data.toString(), 'tail');
  });
}

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-tar-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function sh(cwd: string, script: string): void {
  execFileSync('sh', ['-ec', script], { cwd });
}

function withByte(block: Buffer, at: number, value: number): Buffer {
  block[at] = value;
  return block;
}

function sized(field: Buffer): Buffer {
  return headerBlock({ path: 'a' }, (block) => field.copy(block, 124));
}

function paxOf(records: string | Buffer): Buffer {
  const bytes = Buffer.from(records);
  const header = headerBlock({ path: 'x', flag: 'x', size: bytes.length });
  return Buffer.concat([header, padded(bytes), tarOf([{ path: 'a' }])]);
}

function sparse01(map: string, size: string): Buffer {
  return tarOf([
    { path: 's', data: 'abcdefgh', pax: { 'GNU.sparse.map': map, 'GNU.sparse.size': size } },
  ]);
}

function sparse10(map: string): Buffer {
  const data = Buffer.concat([padded(Buffer.from(map)), Buffer.from('x')]);
  const pax = { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '64' };
  return tarOf([{ path: 's', data, pax }]);
}
