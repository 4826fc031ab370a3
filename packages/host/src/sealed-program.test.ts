import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { run, sealedProgram } from './index.ts';
import { hasCode } from './system-error.ts';

const selinux = existsSync('/sys/fs/selinux/enforce') && 'SELinux goes by files';

function copyOf(t: TestContext, program: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-host-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const path = join(dir, 'runc');
  copyFileSync(program, path);
  chmodSync(path, 0o755);
  return path;
}

test('a sealed program runs, and nobody can change it', { skip: selinux }, async (t) => {
  const path = sealedProgram(copyOf(t, '/bin/echo'));
  assert.match(path, /^\/proc\/\d+\/fd\/\d+$/);
  assert.equal((await run(path, ['a', 'b'])).stdout.toString(), 'a b\n');
  // As another process would: by the path, and by way of its own executable.
  for (const change of [() => appendFileSync(path, 'x'), () => truncateSync(path, 1)]) {
    assert.throws(change, (e) => hasCode(e, 'EPERM', 'ETXTBSY'));
  }
  assert.equal((await run(path, ['again'])).stdout.toString(), 'again\n');
});

test('it is copied once, and again when the program has been replaced', {
  skip: selinux,
}, async (t) => {
  const program = copyOf(t, '/bin/false');
  const path = sealedProgram(program);
  assert.equal(sealedProgram(program), path);
  rmSync(program);
  copyFileSync('/bin/true', program);
  const other = sealedProgram(program);
  assert.notEqual(other, path);
  assert.equal((await run(other, [])).exitCode, 0);
  // Somebody may just be about to start the old one.
  assert.equal((await run(path, [])).exitCode, 1);
});

test('where no copy can be made the path is the program’s own', (t) => {
  assert.equal(sealedProgram('/no/such/program'), '/no/such/program');
  assert.equal(sealedProgram('/no/such/runc'), '/no/such/runc');
  assert.equal(sealedProgram('/bin/true'), '/bin/true');
  const program = copyOf(t, '/bin/true');
  rmSync(program);
  mkdirSync(program);
  assert.equal(sealedProgram(program), program);
});

test('the copy is no descriptor of any program that is started', { skip: selinux }, async (t) => {
  const path = sealedProgram(copyOf(t, '/bin/ls'));
  const listing = (await run(path, ['-l', '/proc/self/fd'])).stdout.toString();
  assert.doesNotMatch(listing, /memfd/);
});
