import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isKind } from '@gantry/errors';
import { containerSpec, pauseSpec } from './index.ts';
import { containerInput, pauseInput, plainHost, plainSandbox } from './testing.ts';

const on = { ...plainHost, selinux: true };
const options = (selinuxOptions: object, more: object = {}) => ({
  linux: { securityContext: { selinuxOptions, ...more } },
});

for (const [what, host, asked, kind] of [
  ['any label where SELinux is off', plainHost, { type: 'x_t', level: 's0:c1,c2' }, undefined],
  ['no label where it is on', on, {}, undefined],
  ['a label where it is on', on, { type: 'x_t' }, 'failed-precondition'],
  ['a level where it is on', on, { level: 's0:c1,c2' }, 'failed-precondition'],
  ['the type of what is not confined', on, { type: 'spc_t', user: 'system_u' }, undefined],
  ['a level that is none, SELinux or not', plainHost, { level: 'high' }, 'invalid-argument'],
  [
    'a level that is none for what is not confined',
    on,
    { type: 'spc_t', level: '0' },
    'invalid-argument',
  ],
] as const) {
  test(`${what} is ${kind === undefined ? 'taken' : `refused as ${kind}`}`, () => {
    const sandbox = plainSandbox(options(asked), { namespaces: {} });
    for (const make of [
      () => containerSpec(containerInput(options(asked), { host })),
      () => pauseSpec(pauseInput({ host, sandbox })),
    ]) {
      if (kind === undefined) {
        assert.equal(make().process.selinuxLabel, undefined);
      } else {
        assert.throws(make, (error) => isKind(error, kind));
      }
    }
  });
}

test('a privileged container has no label, whatever it asks for', () => {
  const sandbox = plainSandbox({ linux: { securityContext: { privileged: true } } });
  const config = options({ type: 'x_t' }, { privileged: true });
  const spec = containerSpec(containerInput(config, { host: on, sandbox }));
  assert.equal(spec.process.selinuxLabel, undefined);
});
