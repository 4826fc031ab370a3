import { type BadRequest, invalid, notNow } from './bad-request.ts';
import type { Fixture } from './fixture.ts';

const running = ({ running: containerId }: Fixture) => ({ containerId });

/** Exec, Attach, PortForward and CheckpointContainer of things that are there. */
export const streamRequests: readonly BadRequest[] = [
  ...(['exec', 'attach'] as const).flatMap((rpc): BadRequest[] => [
    {
      rpc,
      what: 'no stream at all',
      call: (f) => f.stack.runtime[rpc]({ ...running(f), cmd: ['true'] }),
      expected: invalid(/one of stdin, stdout, or stderr/),
    },
    {
      rpc,
      what: 'a terminal with an error stream of its own',
      call: (f) =>
        f.stack.runtime[rpc]({
          ...running(f),
          cmd: ['true'],
          tty: true,
          stdout: true,
          stderr: true,
        }),
      expected: invalid(/tty and stderr/),
    },
    ...(['created', 'exited'] as const).map(
      (state): BadRequest => ({
        rpc,
        what: `a container that is ${state}`,
        call: (f) => f.stack.runtime[rpc]({ containerId: f[state], cmd: ['true'], stdout: true }),
        expected: notNow(new RegExp(state)),
      }),
    ),
  ]),
  {
    rpc: 'exec',
    what: 'no command',
    call: (f) => f.stack.runtime.exec({ ...running(f), stdout: true }),
    expected: invalid(/cmd/),
  },
  {
    rpc: 'exec',
    what: 'a command with a NUL',
    call: (f) => f.stack.runtime.exec({ ...running(f), cmd: ['a\0b'], stdout: true }),
    expected: invalid(/cmd|zero/),
  },
  {
    rpc: 'portForward',
    what: 'a good port and one that is none',
    call: ({ stack, pod: { podSandboxId } }) =>
      stack.runtime.portForward({ podSandboxId, port: [80, 2 ** 31 - 1] }),
    expected: invalid(/no port 2147483647/),
  },
  ...[0, -1, 65_536].map(
    (port): BadRequest => ({
      rpc: 'portForward',
      what: `port ${port}`,
      call: ({ stack, pod: { podSandboxId } }) =>
        stack.runtime.portForward({ podSandboxId, port: [port] }),
      expected: invalid(new RegExp(`no port ${port}`)),
    }),
  ),
  {
    rpc: 'portForward',
    what: 'a pod that is stopped',
    call: ({ stack, stoppedPod: { podSandboxId } }) =>
      stack.runtime.portForward({ podSandboxId, port: [80] }),
    expected: notNow(/stopped|not ready/),
  },
  ...['', 'relative.tar', '/tmp/../etc/x', '/a\0b', `/${'c'.repeat(1 << 20)}`].map(
    (location): BadRequest => ({
      rpc: 'checkpointContainer',
      what: `the location ${JSON.stringify(location.slice(0, 40))}`,
      call: (f) => f.stack.runtime.checkpointContainer({ ...running(f), location }),
      expected: invalid(/^checkpoint container [0-9a-f]+: location/),
    }),
  ),
  {
    rpc: 'checkpointContainer',
    what: 'a negative timeout',
    call: (f) =>
      f.stack.runtime.checkpointContainer({
        ...running(f),
        location: `${f.dir}/c.tar`,
        timeout: -1n,
      }),
    expected: invalid(/^checkpoint container [0-9a-f]+: timeout/),
  },
  ...(['created', 'exited'] as const).map(
    (state): BadRequest => ({
      rpc: 'checkpointContainer',
      what: `a container that is ${state}`,
      call: (f) =>
        f.stack.runtime.checkpointContainer({ containerId: f[state], location: `${f.dir}/c.tar` }),
      expected: notNow(new RegExp(state)),
    }),
  ),
];
