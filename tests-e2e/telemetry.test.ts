import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildImage } from '@gantry/debian-image';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { type Registry, startRegistry } from './harness/registry.ts';
import { runDir } from './harness/run-dir.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

let stack: Stack;
let registry: Registry;
before(async () => {
  registry = await startRegistry();
  const layout = join(runDir(), 'traced');
  await buildImage({
    outDir: layout,
    name: 'traced',
    layers: [[{ type: 'file', path: 'only-here', content: 'a layer that no other image has' }]],
  });
  await registry.push(layout, 'traced/image:1');
  stack = await startStack({ config: '[services]\nreplicas = { "sandbox-service" = 2 }' });
});
after(async () => {
  await stack[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

const traceOf = (what: string, words: readonly RegExp[]) =>
  until(
    `trace of ${what}`,
    () => stack.gantry('trace', what).then((r) => r.stdout),
    (text) => words.every((word) => word.test(text)),
  );

test('a request is one trace, from the gateway down to each runc, conmon and CNI call', async () => {
  const pod = await runPod(stack, podConfig(stack, 'traced'));
  const text = await traceOf(pod.podSandboxId, [
    /RunPodSandbox/,
    /cri-gateway|gateway/,
    /sandbox/,
    /cni ADD bridge|ADD bridge/i,
    /conmon|runc create/,
    /runc start/,
    /PrepareRoot/,
  ]);
  assert.match(text, /ms/);
  const containerId = await startContainer(stack, pod, shellContainer('c', 'exec sleep 1000'));
  await traceOf(containerId, [/StartContainer/]);
  // What comes when it ends, maybe days later, does not draw out the trace of its start.
  const endedId = await startContainer(stack, pod, shellContainer('ended', 'exit 0'));
  const ended = await traceOf(endedId, [/^runc delete /m, /^StartContainer /m]);
  assert.doesNotMatch(ended, /[├└] runc delete/);
  await removePod(stack, pod.podSandboxId);
});

test("a caller's traceparent is the root of the trace", async () => {
  const traceId = 'abcdef0123456789abcdef0123456789';
  await stack.runtime.version(
    {},
    { metadata: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } },
  );
  await traceOf(traceId, [/Version/]);
});

test('a pull shows its registry requests and layers', async () => {
  const image = `${registry.host}/traced/image:1`;
  await stack.images.pullImage({ image: { image } });
  await traceOf('PullImage', [/PullImage +gateway/, /image\.resolve/, /image\.layer/]);
});

const services = ['gateway', 'image', 'sandbox', 'stream'];

/** Any of them may be left out of the first scrape of a busy host. */
const hasAll = (page: string) =>
  services.every((service) => page.includes(`service="${service}"`)) &&
  sandboxInstances(page).size === 2;

function sandboxInstances(page: string): ReadonlySet<string | undefined> {
  const lines = page.matchAll(
    /service="sandbox"[^}\n]*instance="([^"]+)"|instance="([^"]+)"[^}\n]*service="sandbox"/g,
  );
  return new Set(Array.from(lines, ([, one, other]) => one ?? other));
}

test('one scrape has every instance, under the names that users know', async () => {
  const pod = await runPod(stack, podConfig(stack, 'scraped'));
  await startContainer(stack, pod, shellContainer('c', 'exec sleep 1000'));
  const text = await until(
    'a scrape with every service and both instances',
    async () => (await fetch(`${stack.adminUrl}/metrics`)).text(),
    hasAll,
  );
  for (const name of [
    'container_runtime_cri_operations_total',
    'container_runtime_cri_operations_errors_total',
    'container_runtime_cri_operations_latency_seconds',
    'containerd_task_count',
    'containerd_container_count',
    'containerd_image_pull_duration_seconds',
  ]) {
    assert.match(text, new RegExp(`^# TYPE ${name} `, 'm'), name);
    assert.equal(text.match(new RegExp(`^# TYPE ${name} `, 'gm'))?.length, 1, name);
  }
  // The container and the pause container of its pod.
  assert.match(text, /^containerd_task_count\{[^}]*service="sandbox"[^}]*\} 2$/m);
  await removePod(stack, pod.podSandboxId);
});

test('health and readiness are told over HTTP', async () => {
  assert.equal((await fetch(`${stack.adminUrl}/healthz`)).status, 200);
  // A service of a busy host may be too slow for one question.
  await until(
    'ready',
    async () => (await fetch(`${stack.adminUrl}/readyz`)).status,
    (status) => status === 200,
  );
});
