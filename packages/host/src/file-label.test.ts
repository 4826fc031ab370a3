import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { labelTree, mountOverlay, mountTmpfs, setXattr, unmount } from './index.ts';

// Where SELinux is on, only labels of its policy are taken.
const skip =
  process.geteuid?.() === 0 && !existsSync('/sys/fs/selinux/enforce')
    ? false
    : 'needs root and no SELinux';
const label = 'system_u:object_r:container_file_t:s0:c1,c2';

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-label-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** The label that the kernel keeps; '' for none. */
function labelOf(path: string): string {
  const code = [
    'import os,sys',
    'try: print(os.getxattr(sys.argv[1],"security.selinux",follow_symlinks=False).decode())',
    'except OSError: pass',
  ].join('\n');
  return execFileSync('python3', ['-c', code, path]).toString().trim();
}

test('a tree gets a label, with links and odd names, and a link is not followed', {
  skip,
}, async (t) => {
  const dir = temporary(t);
  const outside = join(dir, 'outside');
  const tree = join(dir, 'tree');
  mkdirSync(join(tree, 'a/b/c'), { recursive: true });
  mkdirSync(outside);
  writeFileSync(join(outside, 'secret'), '');
  writeFileSync(join(tree, 'a/b/c/file\n'), '');
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff])]), '');
  symlinkSync(outside, join(tree, 'a/link'));
  symlinkSync('nowhere', join(tree, 'broken'));
  await labelTree(tree, label);
  for (const path of ['.', 'a', 'a/b/c', 'a/b/c/file\n', 'a/link', 'broken']) {
    assert.equal(labelOf(join(tree, path)), `${label}\0`, path);
  }
  assert.equal(labelOf(outside), '');
  assert.equal(labelOf(join(outside, 'secret')), '');
});

test('one file gets a label', { skip }, async (t) => {
  const file = join(temporary(t), 'file');
  writeFileSync(file, '');
  await labelTree(file, label);
  assert.equal(labelOf(file), `${label}\0`);
});

test('what has the label is left alone, and another label is replaced', { skip }, async (t) => {
  const dir = temporary(t);
  const [right, wrong] = [join(dir, 'right'), join(dir, 'wrong')];
  writeFileSync(right, '');
  writeFileSync(wrong, '');
  setXattr(Buffer.from(right), 'security.selinux', Buffer.from(`${label}\0`));
  setXattr(Buffer.from(wrong), 'security.selinux', Buffer.from(`${label},c3\0`));
  const before = lstatSync(right, { bigint: true }).ctimeNs;
  await labelTree(dir, label);
  assert.equal(lstatSync(right, { bigint: true }).ctimeNs, before);
  assert.equal(labelOf(wrong), `${label}\0`);
});

test('what can have no label stays as it is', { skip }, async () => {
  await labelTree('/proc/self/attr', label);
});

test('what is not there is an error that names it', { skip }, async (t) => {
  const path = join(temporary(t), 'none');
  await assert.rejects(labelTree(path, label), (error) => String(error).includes(`label ${path}`));
});

test('a caller that leaves ends it', { skip }, async (t) => {
  const dir = temporary(t);
  writeFileSync(join(dir, 'file'), '');
  const signal = AbortSignal.abort(new Error('left'));
  await assert.rejects(labelTree(dir, label, { signal }), /left/);
});

// A kernel without SELinux knows no `context`: that it says so shows that it was asked.
test('mounts ask the kernel for their label', { skip }, async (t) => {
  const dir = temporary(t);
  const [lower, upper, work, target] = ['lower', 'upper', 'work', 'target'].map((name) => {
    const path = join(dir, name);
    mkdirSync(path);
    return path;
  });
  assert.ok(lower && upper && work && target);
  t.after(() => unmount(target));
  const overlay = { lowerDirs: [lower], upperDir: upper, workDir: work, target };
  for (const method of ['fsconfig', 'mount'] as const) {
    await assert.rejects(mountOverlay({ ...overlay, method, label }), { code: 'EINVAL' });
    await mountOverlay({ ...overlay, method });
    await unmount(target);
  }
  await assert.rejects(mountTmpfs({ target, sizeBytes: 4096, mode: 0o755, label }), {
    code: 'EINVAL',
  });
  await mountTmpfs({ target, sizeBytes: 4096, mode: 0o755 });
  await unmount(target);
});

test('a label that is more than one is refused before the kernel sees it', async () => {
  const mount = { target: '/nowhere', sizeBytes: 4096, mode: 0o755 };
  for (const bad of ['a:b:c",size=1', 'a:b:c d', '']) {
    await assert.rejects(mountTmpfs({ ...mount, label: bad }), /is no label/);
    await assert.rejects(
      mountOverlay({ lowerDirs: ['/a'], target: '/nowhere', label: bad }),
      /is no label/,
    );
  }
});
