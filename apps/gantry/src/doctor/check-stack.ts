import type { Config } from '@gantry/config';
import { messageOf } from '@gantry/errors';
import { findTool } from '@gantry/host';
import { RuntimeService } from '@gantry/proto';
import { dial } from '@gantry/rpc';
import { runningStack } from '../supervisor/stack-state.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const answerLimitMs = 5000;

/** Whether the stack runs and answers, and the conditions that a kubelet would see. */
export async function checkStack(config: Config): Promise<Finding[]> {
  if (process.getuid?.() !== 0) {
    return [warn('stack', 'not looked at', 'run it with sudo')];
  }
  const state = await runningStack(config);
  if (state === undefined) {
    return [warn('stack', 'not running', 'start it: ./gantry up')];
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
    const { status, runtimeHandlers } = await runtime.status({}, { deadlineMs });
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
            'can not run containers on this host',
            `why: ${config.state_dir}/log/sandbox-service.log; pods that ask for it fail`,
          ),
        ),
    ];
  } catch (error) {
    return [fail('socket', messageOf(error), `see ${config.state_dir}/log/cri-gateway.log`)];
  }
}
