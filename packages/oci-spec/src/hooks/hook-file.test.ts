import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isKind, messageOf } from '@gantry/errors';
import { testGoldens } from '../golden-file.ts';
import { containerSpec } from '../index.ts';
import { containerInput } from '../testing.ts';
import { type HookSubject, hookApplies, parseHookFile, withHook } from './hook-file.ts';

const hook = { path: '/usr/libexec/hook', args: ['hook', 'run'], env: ['A=b'], timeout: 3 };
const file = (when: object, more: object = {}) => ({
  version: '1.0.0',
  hook,
  when,
  stages: ['prestart', 'poststop'],
  ...more,
});
const parse = (when: object) => parseHookFile(file(when), 'hook');
const subject: HookSubject = {
  annotations: { 'io.example/trace': 'on', other: 'x' },
  command: '/usr/bin/app',
  hasBindMounts: true,
};

for (const [what, when, applies] of [
  ['always', { always: true }, true],
  ['never', { always: false }, false],
  ['an annotation', { annotations: { '^io\\.example/trace$': '^on$' } }, true],
  ['another value of it', { annotations: { '^io\\.example/trace$': '^off$' } }, false],
  ['key and value of different ones', { annotations: { '^other$': '^on$' } }, false],
  ['two annotations, both there', { annotations: { trace: 'on', other: 'x' } }, true],
  ['two annotations, one there', { annotations: { trace: 'on', missing: 'x' } }, false],
  ['one of its commands', { commands: ['^/bin/sh$', '^/usr/bin/app$'] }, true],
  ['other commands', { commands: ['^/bin/sh$'] }, false],
  ['no commands', { commands: [] }, false],
  ['mounts', { hasBindMounts: true }, true],
  ['no mounts', { hasBindMounts: false }, false],
  ['all that holds', { always: true, hasBindMounts: true, commands: ['app'] }, true],
  ['one thing that does not hold', { always: true, hasBindMounts: false }, false],
] as const) {
  test(`a hook for ${what} ${applies ? 'runs' : 'does not run'}`, () => {
    assert.equal(hookApplies(parse(when), subject), applies);
  });
}

for (const [what, document, message] of [
  ['of an older format', file({ always: true }, { version: '0.1.0' }), /version/],
  ['without a condition', file({}), /no condition/],
  ['without a stage', file({ always: true }, { stages: [] }), /stages/],
  ['with an unknown stage', file({ always: true }, { stages: ['later'] }), /stages/],
  [
    'with a relative path',
    file({ always: true }, { hook: { path: 'hook' } }),
    /hook\.path.*absolute/,
  ],
  ['with a condition to come', file({ whenever: true }), /whenever/],
  ['with a pattern that is none', file({ commands: ['('] }), /no regular expression/],
  ['that is a list', [], /./],
] as const) {
  test(`a file ${what} is refused with its path`, () => {
    assert.throws(
      () => parseHookFile(document, 'hook file /hooks/x.json'),
      (e) =>
        isKind(e, 'failed-precondition') &&
        messageOf(e).startsWith('hook file /hooks/x.json: ') &&
        message.test(messageOf(e)),
    );
  });
}

testGoldens({
  'container-hooks': () => {
    const { stages, hook: run } = parse({ always: true });
    const one = withHook(containerSpec(containerInput()), stages, run);
    return withHook(one, ['prestart'], { path: '/second' });
  },
});
