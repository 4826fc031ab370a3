import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { Signal } from '@gantry/proto';
import { stopSignalOf } from './stop-signal.ts';

const cases: readonly [requested: Signal, image: string, number: number, name: string][] = [
  [Signal.RUNTIME_DEFAULT, '', 15, 'SIGTERM'],
  [Signal.RUNTIME_DEFAULT, 'SIGQUIT', 3, 'SIGQUIT'],
  [Signal.RUNTIME_DEFAULT, 'usr1', 10, 'SIGUSR1'],
  [Signal.RUNTIME_DEFAULT, '9', 9, 'SIGKILL'],
  [Signal.RUNTIME_DEFAULT, 'SIGRTMIN+3', 37, 'SIGRTMIN+3'],
  [Signal.RUNTIME_DEFAULT, 'RTMAX-14', 50, 'SIGRTMAX-14'],
  [Signal.RUNTIME_DEFAULT, 'SIGRTMIN+30', 64, 'SIGRTMAX'],
  [Signal.RUNTIME_DEFAULT, 'SIGPOLL', 29, 'SIGIO'],
  [Signal.SIGUSR2, 'SIGQUIT', 12, 'SIGUSR2'],
  [Signal.SIGRTMINPLUS3, '', 37, 'SIGRTMIN+3'],
  [Signal.SIGRTMAXMINUS14, '', 50, 'SIGRTMAX-14'],
  [Signal.SIGCLD, '', 17, 'SIGCLD'],
];
for (const [requested, image, number, name] of cases) {
  test(`stop signal ${requested} over "${image}" is ${name}`, () => {
    const signal = stopSignalOf(requested, image);
    assert.deepEqual([signal.number, signal.name], [number, name]);
    if (requested !== Signal.RUNTIME_DEFAULT) {
      assert.equal(signal.cri, requested);
    }
  });
}

test('what the image says is told in the CRI’s words', () => {
  assert.equal(stopSignalOf(Signal.RUNTIME_DEFAULT, '37').cri, Signal.SIGRTMINPLUS3);
  assert.equal(stopSignalOf(Signal.RUNTIME_DEFAULT, '').cri, Signal.SIGTERM);
});

test('every signal of the CRI has the number that this system gives it', () => {
  const known: Readonly<Record<string, number>> = constants.signals;
  for (const value of Object.values(Signal).filter((v) => typeof v === 'number')) {
    if (value !== Signal.RUNTIME_DEFAULT) {
      const { name, number } = stopSignalOf(value as Signal, '');
      assert.equal(number, known[name] ?? number, name);
      assert.ok(number >= 1 && number <= 64, name);
    }
  }
});

for (const image of ['SIGNOPE', '0', '65', '-1', '32', 'SIGRTMIN+31', 'SIGRTMAX-31', 'RTMIN+']) {
  test(`stop signal ${image} is refused`, () => {
    assert.throws(() => stopSignalOf(Signal.RUNTIME_DEFAULT, image), { kind: 'invalid-argument' });
  });
}

test('a number that the CRI does not have is refused', () => {
  assert.throws(() => stopSignalOf(999 as Signal, ''), { kind: 'invalid-argument' });
});
