import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conmonArguments } from './conmon-arguments.ts';

const handler = {
  name: 'runc',
  path: '/usr/sbin/runc',
  systemdCgroup: false,
  privilegedWithoutHostDevices: false,
};
const launch = {
  id: 'c1',
  name: 'web',
  handler,
  bundleDir: '/b',
  logPath: '/logs/0.log',
  stdin: false,
  stdinOnce: false,
  tty: false,
};
const paths = { runtimeRoot: '/r', exitDir: '/e' };

test('stdin, tty and the cgroup driver choose the flags', () => {
  const flagsOf = (change: object): string[] => {
    const plain = new Set(conmonArguments(launch, paths));
    return conmonArguments({ ...launch, ...change }, paths).filter((flag) => !plain.has(flag));
  };
  assert.deepEqual(flagsOf({ stdin: true }), ['--stdin', '--leave-stdin-open']);
  assert.deepEqual(flagsOf({ stdin: true, stdinOnce: true }), ['--stdin']);
  assert.deepEqual(flagsOf({ stdinOnce: true }), []);
  assert.deepEqual(flagsOf({ tty: true }), ['--terminal']);
  // One who detaches from a terminal must not hang it up.
  assert.deepEqual(flagsOf({ tty: true, stdin: true, stdinOnce: true }), [
    '--terminal',
    '--stdin',
    '--leave-stdin-open',
  ]);
  assert.deepEqual(flagsOf({ handler: { ...handler, systemdCgroup: true } }), ['--systemd-cgroup']);
  assert.deepEqual(flagsOf({ logPath: undefined }), ['off']);
});

test('a log path with a colon, which conmon would cut, is refused', () => {
  assert.throws(() => conmonArguments({ ...launch, logPath: '/a:b' }, paths), {
    kind: 'invalid-argument',
    message: 'create container c1: log path "/a:b" must not contain a colon',
  });
});
