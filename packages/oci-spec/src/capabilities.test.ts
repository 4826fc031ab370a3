import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capabilitiesOf } from './capabilities.ts';
import { capabilitiesOfMask, capabilityNames, defaultCapabilities } from './capability-names.ts';

const available = ['CAP_CHOWN', 'CAP_KILL', 'CAP_SYS_ADMIN', 'CAP_NET_RAW'];
const granted = (add: string[], drop: string[], ambient: string[] = []) =>
  capabilitiesOf(
    {
      privileged: false,
      capabilities: {
        addCapabilities: add,
        dropCapabilities: drop,
        addAmbientCapabilities: ambient,
      },
    },
    available,
  );

test('who asks for nothing gets the default set, without inheritable ones', () => {
  const sets = capabilitiesOf({ privileged: false }, capabilityNames);
  assert.deepEqual([...sets.bounding].sort(), [...defaultCapabilities].sort());
  assert.deepEqual(sets.effective, sets.bounding);
  assert.deepEqual(sets.permitted, sets.bounding);
  assert.deepEqual(sets.inheritable, []);
  assert.deepEqual(sets.ambient, []);
});

test('the default set has nothing that the host can not give', () => {
  const { bounding } = capabilitiesOf({ privileged: false }, available);
  assert.deepEqual(bounding, ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_RAW']);
});

const cases: readonly [add: string[], drop: string[], expected: string[]][] = [
  [[], ['ALL'], []],
  [['KILL'], ['ALL'], ['CAP_KILL']],
  [['cap_kill', 'Cap_Sys_Time'], ['all'], ['CAP_KILL', 'CAP_SYS_TIME']],
  [['CAP_KILL'], ['ALL', 'KILL'], []],
  [['KILL'], ['KILL', 'ALL'], []],
];
for (const [add, drop, expected] of cases) {
  test(`add ${add.join()} and drop ${drop.join()} gives ${expected.join() || 'none'}`, () => {
    assert.deepEqual(granted(add, drop).bounding, expected);
  });
}

test('ALL adds what the host has and no more', () => {
  const { bounding } = granted(['ALL'], ['CHOWN']);
  assert.ok(bounding.includes('CAP_SYS_ADMIN'));
  assert.ok(!bounding.includes('CAP_CHOWN'));
  assert.ok(!bounding.includes('CAP_SYS_TIME'));
});

test('privileged means every capability of the host, whatever is dropped', () => {
  const { bounding, ambient } = capabilitiesOf(
    {
      privileged: true,
      capabilities: {
        addCapabilities: [],
        dropCapabilities: ['ALL'],
        addAmbientCapabilities: [],
      },
    },
    available,
  );
  assert.deepEqual([...bounding].sort(), [...available].sort());
  assert.deepEqual(ambient, []);
});

test('an ambient capability is permitted and inheritable too', () => {
  const sets = granted([], ['ALL'], ['SYS_TIME']);
  for (const set of Object.values(sets) as string[][]) {
    assert.deepEqual(set, ['CAP_SYS_TIME']);
  }
});

test('a dropped capability does not come back as an ambient one', () => {
  assert.deepEqual(granted([], ['ALL', 'KILL'], ['KILL']).ambient, []);
});

test('a name that no kernel knows is refused with its field', () => {
  assert.throws(() => granted(['NET_ADMIM'], []), {
    kind: 'invalid-argument',
    message: /add_capabilities.*"NET_ADMIM"/,
  });
  assert.throws(() => granted([], ['']), { kind: 'invalid-argument', message: /drop/ });
});

test('a mask is read bit by bit', () => {
  assert.deepEqual(capabilitiesOfMask('0000000000000021'), ['CAP_CHOWN', 'CAP_KILL']);
  assert.deepEqual(capabilitiesOfMask('000001ffffffffff'), capabilityNames);
  assert.equal(capabilitiesOfMask('00000000a80425fb').length, 14);
});
