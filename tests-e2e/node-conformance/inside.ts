/*
 * Runs the node conformance tests against a stack, inside the namespaces that run.ts made.
 *
 *   node inside.ts [--focus=REGEXP ...] [--procs=N]
 */
import { join } from 'node:path';
import { argv, env, exit, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { leaveCounts } from '../critest/counts.ts';
import { startStackForCritest } from '../critest/stack-for-critest.ts';
import { failureText } from '../critest/table.ts';
import { runGinkgo } from '../ginkgo/run-ginkgo.ts';
import { hostOf, leaks } from '../harness/host.ts';
import { startRegistry } from '../harness/registry.ts';
import { runDir } from '../harness/run-dir.ts';
import { prepareHost } from '../kubelet/host-for-kubelet.ts';
import type { NodeConformancePrograms } from '../setup/node-conformance.ts';
import { unexpected } from './expectations.ts';
import { prepareNode, suiteArgs } from './prepare-node.ts';

interface Prepared extends NodeConformancePrograms {
  readonly layout: string;
  readonly images: readonly string[];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: argv.slice(2),
    options: {
      focus: { type: 'string', multiple: true, default: ['\\[NodeConformance\\]'] },
      skip: { type: 'string', multiple: true, default: ['\\[Flaky\\]|\\[Slow\\]|\\[Serial\\]'] },
      procs: { type: 'string', default: '8' },
    },
  });
  const prepared = JSON.parse(env['GANTRY_E2E_NODE'] ?? '') as Prepared;
  await using registry = await startRegistry();
  for (const name of prepared.images) {
    await registry.push(`${prepared.layout}:${name}`, name.slice(name.indexOf('/') + 1));
  }
  await using started = await startStackForCritest(
    { runtime: 'runc', infra: 'pause' },
    registry,
    // Specs of runtime classes ask for a handler of this name.
    '[runtimes.runc]\n[runtimes.test-handler]\npath = "runc"\n',
  );
  const { stack } = started;
  using _host = await prepareHost(stack);
  await prepareNode();
  const clean = await hostOf(stack);
  const dir = join(runDir(), 'node-conformance');
  const results = await runGinkgo({
    ginkgo: prepared.ginkgo,
    suite: prepared.suite,
    name: 'node-conformance',
    dir,
    processes: Number(values.procs),
    timeoutMinutes: 60,
    focus: values.focus,
    skip: values.skip,
    args: await suiteArgs({ stack, kubelet: prepared.kubelet, dir: join(runDir(), 'node') }),
  });
  const ran = results.filter(({ outcome, message }) => outcome !== 'skipped' || message !== '');
  const faults = unexpected(results);
  for (const fault of faults) {
    stdout.write(failureText(fault));
  }
  // The suite ends the kubelet with its last pods still there, and the cgroups that it makes for pods.
  for (const { id: podSandboxId } of (await stack.runtime.listPodSandbox({})).items) {
    await stack.runtime.stopPodSandbox({ podSandboxId });
    await stack.runtime.removePodSandbox({ podSandboxId });
  }
  const left = leaks(clean, await hostOf(stack)).filter(
    (line) =>
      !/^cgroup left: .*\/kubelet\/kubepods(\/(burstable|besteffort))?(\/pod[^/]*)?$/.test(line),
  );
  for (const line of left) {
    stdout.write(`node conformance: ${line}\n`);
  }
  const count = (outcome: string) => ran.filter((r) => r.outcome === outcome).length;
  const [passed, failed] = [count('passed'), faults.length + left.length];
  stdout.write(
    `node conformance: ${passed} passed, ${count('failed')} failed (${faults.length} not expected), ${count('skipped')} skipped\n`,
  );
  leaveCounts([{ passed, failed, skipped: Math.max(0, ran.length - passed - failed) }]);
  return failed === 0 && passed > 0 ? 0 : 1;
}

exit(await main());
