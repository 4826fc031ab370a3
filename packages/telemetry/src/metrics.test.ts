import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counter, Histogram, mergeMetrics, newRegistry } from './index.ts';

test('series carry service and instance, and the process metrics are there', async () => {
  const registry = newRegistry({ service: 'image', instance: 'i1' });
  new Counter({ name: 'pulls_total', help: 'Pulls.', registers: [registry] }).inc(3);
  const text = await registry.metrics();
  assert.match(text, /^pulls_total\{service="image",instance="i1"\} 3$/m);
  const rss = /^process_resident_memory_bytes\{.*\} (\d+)$/m.exec(text)?.[1];
  assert.ok(Number(rss) > 1e6);
  const cpu = /^process_cpu_seconds_total\{.*\} ([\d.]+)$/m.exec(text)?.[1];
  assert.ok(Number(cpu) > 0);
  const second = /^process_cpu_seconds_total\{.*\} ([\d.]+)$/m.exec(await registry.metrics())?.[1];
  assert.ok(Number(second) < Number(cpu) * 2, 'a scrape does not add the CPU time again');
});

test('texts of several instances become one valid page', async () => {
  const texts = await Promise.all(
    ['a', 'b'].map((instance) => {
      const registry = newRegistry({ service: 'sandbox', instance });
      const histogram = new Histogram({
        name: 'step_seconds',
        help: 'Steps.',
        buckets: [1],
        registers: [registry],
      });
      histogram.observe(0.5);
      new Counter({ name: `only_${instance}`, help: 'x', registers: [registry] }).inc();
      return registry.metrics();
    }),
  );
  const page = mergeMetrics(texts);
  const lines = page.split('\n');
  assert.equal(lines.filter((l) => l === '# TYPE step_seconds histogram').length, 1);
  assert.equal(lines.filter((l) => l.startsWith('# HELP step_seconds')).length, 1);
  const family = lines.filter((l) => l.startsWith('step_seconds'));
  assert.equal(family.length, 8, 'two buckets, sum and count of each instance');
  const first = lines.findIndex((l) => l.startsWith('step_seconds'));
  assert.deepEqual(lines.slice(first, first + 8), family, 'one family stands together');
  assert.match(page, /only_a\{/);
  assert.match(page, /only_b\{/);
  assert.ok(page.endsWith('\n'));
});

test('a series that two texts tell is told once, a family without series not at all', () => {
  const text = '# HELP up Up.\n# TYPE up gauge\nup 1\n\n# HELP none n\n# TYPE none gauge\n';
  assert.equal(mergeMetrics([text, text]), '# HELP up Up.\n# TYPE up gauge\nup 1\n');
});
