/* What deploy/ has for Prometheus and Grafana asks for series that Gantry has. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';

const root = dirname(import.meta.dirname);
const read = (file: string) => readFileSync(`${root}/${file}`, 'utf8');
const series = /\b(?:gantry|containerd|container)_[a-z_]+/g;

/** The names in the code, with those that a histogram makes of its own. */
function declared(): ReadonlySet<string> {
  const files = globSync('{apps,packages}/*/src/**/*.ts', { cwd: root });
  const names = files
    .filter((file) => !file.endsWith('.test.ts'))
    .flatMap((file) => [...read(file).matchAll(/name: '([a-z]+_[a-z_]+)'/g)])
    .flatMap(([, name = '']) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]);
  return new Set(names);
}

for (const file of ['prometheus/gantry.rules.yml', 'grafana/gantry.json']) {
  test(`every series of deploy/${file} is one of Gantry's`, () => {
    const asked = new Set(read(`deploy/${file}`).match(series));
    assert.ok(asked.size >= 5, 'finds the series');
    assert.deepEqual([...asked.difference(declared())], []);
  });
}

test('the dashboard is one that Grafana can import', () => {
  const { uid, panels } = JSON.parse(read('deploy/grafana/gantry.json')) as {
    uid: string;
    panels: { id: number; targets: { expr: string }[] }[];
  };
  assert.equal(uid, 'gantry');
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  assert.ok(panels.every(({ targets }) => targets.every(({ expr }) => expr.length > 0)));
});
