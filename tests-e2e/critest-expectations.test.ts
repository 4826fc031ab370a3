import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Exception, judge, specCount } from './critest/expectations.ts';
import type { SpecResult } from './ginkgo/report.ts';

const combination = { runtime: 'runc', infra: 'pause' } as const;
const known: readonly Exception[] = [
  { outcome: 'failed', spec: /\] digest$/, message: /offline/, reason: 'no net' },
  { outcome: 'skipped', spec: /\] armor$/, message: /disabled/, reason: 'no armor' },
  {
    outcome: 'skipped',
    spec: /\] mount$/,
    message: /old/,
    reason: 'an old crun',
    combinations: ['crun/pause'],
  },
  {
    outcome: 'skipped',
    spec: /\] users$/,
    message: /old/,
    reason: 'an old kernel, which this is not',
    onHost: () => false,
  },
];

function result(name: string, outcome: SpecResult['outcome'], message = ''): SpecResult {
  return { name: `[k8s.io] ${name}`, outcome, message, location: '', output: '', seconds: 0 };
}

function faultsOf(...results: readonly SpecResult[]): readonly string[] {
  const rest = Array.from({ length: specCount - results.length }, (_, n) =>
    result(`other ${n}`, 'passed'),
  );
  return judge([...results, ...rest], combination, { isWhole: true, known }).faults;
}

test('passes, and what is excepted for its reason, are no fault', () => {
  assert.deepEqual(
    faultsOf(
      result('run', 'passed'),
      result('digest', 'failed', 'offline'),
      result('armor', 'skipped', 'disabled here'),
    ),
    [],
  );
});

test('a failure or skip that nobody excepted is a fault, and so is one of another cause', () => {
  for (const found of [
    result('run', 'failed', 'boom'),
    result('run', 'skipped', 'disabled'),
    result('digest', 'failed', 'panic'),
    result('digest', 'skipped', 'offline'),
    result('armor', 'skipped', 'not implemented'),
    result('armor', 'failed', 'disabled'),
    // Excepted for another combination only.
    result('mount', 'skipped', 'old'),
    // Excepted on another host only.
    result('users', 'skipped', 'old'),
  ]) {
    assert.equal(faultsOf(found).length, 1, `${found.name} ${found.outcome} ${found.message}`);
  }
});

test('specs that are missing from the report are a fault, unless a focus left them out', () => {
  const one = [result('run', 'passed')];
  assert.match(String(judge(one, combination, { isWhole: true }).faults), /1 specs reported/);
  assert.deepEqual(judge(one, combination, { isWhole: false }).faults, []);
});

test('a pass that was not expected is told', () => {
  const { faults, notes } = judge([result('digest', 'passed')], combination, {
    isWhole: false,
    known,
  });
  assert.deepEqual(faults, []);
  assert.match(String(notes), /passed, though expected to be failed.*digest/);
});
