import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { findProgram, parseLdd } from './program.ts';

test('the libraries of ldd are read, with the loader and without the vDSO', () => {
  const listing = [
    '\tlinux-vdso.so.1 (0x00007fa198fe2000)',
    '\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fa198d20000)',
    '\t/lib64/ld-linux-x86-64.so.2 (0x00007fa198fe4000)',
  ].join('\n');
  assert.deepEqual(parseLdd(listing), [
    '/lib/x86_64-linux-gnu/libc.so.6',
    '/lib64/ld-linux-x86-64.so.2',
  ]);
  assert.deepEqual(parseLdd('\tstatically linked\n'), []);
  assert.throws(() => parseLdd('\tlibx.so.1 => not found\n'), /missing library: libx.so.1/);
});

test('an installed program comes with the libraries it is linked to', async () => {
  const program = await findProgram({
    name: 'ls',
    packages: [],
    probe: ['--version'],
    accept: (output) => output.includes('coreutils'),
  });
  assert.ok(program.libraries.some((l) => l.path.includes('libc.so')));
  assert.equal(program.content.subarray(1, 4).toString(), 'ELF');
});

test('a program that is nowhere is told with the packages that were tried', async () => {
  const request = {
    name: 'ls',
    packages: ['no-such-package-here'],
    probe: ['--version'],
    accept: () => false,
  };
  await assert.rejects(findProgram(request), {
    kind: 'failed-precondition',
    message: /no usable ls .* Debian package no-such-package-here/,
  });
});

function aptKnows(name: string): boolean {
  try {
    return execFileSync('apt-cache', ['policy', name], { encoding: 'utf8' }).includes(
      'Candidate: ',
    );
  } catch {
    return false;
  }
}

const withApt = { skip: aptKnows('busybox-static') ? false : 'apt knows no busybox-static here' };

test('a program that is not installed comes out of its package', withApt, async () => {
  const program = await findProgram({
    name: 'busybox',
    packages: ['no-such-package-here', 'busybox-static'],
    probe: ['--list'],
    accept: (output) => output.includes('httpd'),
    ignoreInstalled: true,
  });
  assert.deepEqual(program.libraries, []);
  assert.ok(program.content.length > 500_000);
});
