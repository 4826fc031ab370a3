import type { Config } from '@gantry/config';
import { messageOf } from '@gantry/errors';
import { findTool } from '@gantry/host';
import { RuntimeService } from '@gantry/proto';
import { dial } from '@gantry/rpc';
import { runningStack } from '../supervisor/stack-state.ts';
import { checkLeft } from './check-left.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const answerLimitMs = 5000;

/** Whether the stack runs and answers, and the conditions that a kubelet would see. */
export async function checkStack(config: Config): Promise<Finding[]> {
  if (process.getuid?.() !== 0) {
    return [warn('stack', 'not looked at', 'run it with sudo')];
  }
  const state = await runningStack(config);
  if (state === undefined) {
    return checkLeft(config);
  }
  const waiting = state.children.filter((child) => child.process === undefined);
  const processes =
    waiting.length === 0
      ? ok('stack', `${state.children.map((child) => child.name).join(', ')}`)
      : fail(
          'stack',
          waiting.map((child) => `${child.name}: ${child.lastExit ?? 'not started'}`).join(', '),
          `see ${config.state_dir}/log`,
        );
  return [processes, ...(await checkSocket(config))];
}

async function checkSocket(config: Config): Promise<Finding[]> {
  using connection = dial(config.grpc.socket);
  const runtime = connection.client(RuntimeService);
  const deadlineMs = Date.now() + answerLimitMs;
  try {
    const { runtimeName, runtimeVersion } = await runtime.version({}, { deadlineMs });
    const { status, runtimeHandlers, info } = await runtime.status(
      { verbose: true },
      { deadlineMs },
    );
    const conditions = (status?.conditions ?? []).map(
      ({ type, status: isTrue, reason, message }) =>
        isTrue
          ? ok(type, 'yes')
          : fail(type, `${reason}: ${message}`, 'mend that, or see ./gantry info'),
    );
    const usable = new Set(runtimeHandlers.map((handler) => handler.name));
    return [
      ok('socket', `${runtimeName} ${runtimeVersion} on ${config.grpc.socket}`),
      ...conditions,
      ...Object.entries(config.runtimes)
        // One that is not installed is told of among the tools.
        .filter(([name, { path }]) => !usable.has(name) && findTool(path) !== undefined)
        .map(([name]) =>
          warn(
            `handler ${name}`,
            whyUnusable(info['runtimeHandlers'], name),
            `pods that ask for it fail: mend that, or take [runtimes.${name}] out of the config`,
          ),
        ),
    ];
  } catch (error) {
    return [fail('socket', messageOf(error), `see ${config.state_dir}/log/cri-gateway.log`)];
  }
}

/** What sandbox-service says of a handler that its probe refused. */
export function whyUnusable(handlers: string | undefined, name: string): string {
  const told = JSON.parse(handlers ?? '[]') as readonly { name?: string; unusable?: string }[];
  const why = told.find((handler) => handler.name === name)?.unusable;
  return why ?? 'can not run containers on this host';
}
