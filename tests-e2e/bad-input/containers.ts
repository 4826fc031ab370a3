import assert from 'node:assert/strict';
import { NamespaceMode } from '@gantry/proto';
import { shellContainer } from '../harness/pod.ts';
import { accepted, type BadRequest, invalid, notNow, type Refusal } from './bad-request.ts';
import { configs } from './container-configs.ts';
import { resources, security } from './container-security.ts';
import type { Fixture } from './fixture.ts';

export const containerRequests: readonly BadRequest[] = [
  ...creating(configs, (config) => config),
  ...creating(security, (securityContext) => ({ linux: { securityContext } })),
  ...creating(resources, (limits) => ({ linux: { resources: limits } })),
  {
    rpc: 'createContainer',
    what: 'no config',
    call: ({ stack, pod: { podSandboxId } }) => stack.runtime.createContainer({ podSandboxId }),
    expected: invalid(/metadata/),
  },
  {
    rpc: 'createContainer',
    what: 'a pod that is stopped',
    call: ({ stack, stoppedPod: { podSandboxId } }) =>
      stack.runtime.createContainer({ podSandboxId, config: shellContainer('a', 'true') }),
    expected: notNow(/not ready/),
  },
  ...['loop', 'file/below'].map(
    (path): BadRequest => ({
      rpc: 'createContainer',
      what: `a mount of ${path}`,
      call: ({ createContainer, dir }) =>
        createContainer({ mounts: [{ containerPath: '/d', hostPath: `${dir}/${path}` }] }),
      expected: invalid(new RegExp(`host_path.*${path}`)),
    }),
  ),
  {
    rpc: 'createContainer',
    what: 'the processes of a container that has ended',
    call: ({ createContainer, exited: targetId }) =>
      createContainer({
        linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.TARGET, targetId } } },
      }),
    expected: invalid(/target_id/),
  },
  {
    rpc: 'createContainer',
    what: 'the processes of a container of another pod',
    call: ({ createContainer, foreign: targetId }) =>
      createContainer({
        linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.TARGET, targetId } } },
      }),
    expected: invalid(/target_id.*of this pod/),
  },
  {
    rpc: 'createContainer',
    what: 'a device that is a link in a circle',
    call: ({ createContainer, dir }) =>
      createContainer({
        devices: [{ containerPath: '/dev/x', hostPath: `${dir}/loop`, permissions: 'r' }],
      }),
    expected: invalid(/config\.devices: host_path.*loop/),
  },
  // What only the kernel of the node can refuse: the limits from before hold.
  ...Object.entries({
    'a cpu that the node lacks': { cpusetCpus: '9999' },
    'less memory than it has in use': { memoryLimitInBytes: 4096n },
    'a quota below a millisecond': { cpuQuota: 1n },
  }).map(
    ([what, linux]): BadRequest => ({
      rpc: 'updateContainerResources',
      what,
      call: ({ stack, running: containerId }) =>
        stack.runtime.updateContainerResources({ containerId, linux }),
      expected: notNow(/^update resources of container [0-9a-f]+: limits: /),
    }),
  ),
  {
    rpc: 'updateContainerResources',
    what: 'limits of another system, and annotations of a megabyte',
    call: ({ stack, running: containerId }) =>
      stack.runtime.updateContainerResources({
        containerId,
        windows: { cpuShares: 1n },
        annotations: { large: 'a'.repeat(1 << 20) },
      }),
    expected: accepted,
  },
  ...(['running', 'created'] as const).flatMap((state) =>
    Object.entries(resources).map(
      ([what, [linux, expected]]): BadRequest => ({
        rpc: 'updateContainerResources',
        what: `${what}, of a container that is ${state}`,
        call: (fixture) =>
          fixture.stack.runtime.updateContainerResources({ containerId: fixture[state], linux }),
        expected,
      }),
    ),
  ),
  ...inState('startContainer', ['running', 'exited'], ({ stack }, containerId) =>
    stack.runtime.startContainer({ containerId }),
  ),
  ...inState('reopenContainerLog', ['created', 'exited'], ({ stack }, containerId) =>
    stack.runtime.reopenContainerLog({ containerId }),
  ),
  ...inState('execSync', ['created', 'exited'], ({ stack }, containerId) =>
    stack.runtime.execSync({ containerId, cmd: ['true'] }),
  ),
  ...inState('updateContainerResources', ['exited'], ({ stack }, containerId) =>
    stack.runtime.updateContainerResources({ containerId, linux: { cpuShares: 100n } }),
  ),
  {
    rpc: 'stopContainer',
    what: 'a negative timeout',
    call: ({ stack, running: containerId }) =>
      stack.runtime.stopContainer({ containerId, timeout: -1n }),
    expected: invalid(/^stop container "[0-9a-f]{64}": timeout -1/),
  },
  ...executing('no command', { cmd: [] }, invalid(/cmd/)),
  ...executing('a command with a NUL', { cmd: ['a\0b'] }, invalid(/cmd/)),
  ...executing('a negative timeout', { cmd: ['true'], timeout: -1n }, invalid(/timeout/)),
  ...executing(
    'a command of no letters',
    { cmd: [''] },
    { kind: 'unknown', message: /exec in container [0-9a-f]{64}: "": / },
  ),
  ...executing(
    'a directory for a command',
    { cmd: ['/etc'] },
    { kind: 'unknown', message: /"\/etc": .*permission denied/ },
  ),
  ...executing('the longest timeout', { cmd: ['true'], timeout: 2n ** 63n - 1n }, (answer) =>
    assert.equal((answer as { readonly exitCode: number }).exitCode, 0),
  ),
  ...executing(
    'an argument that no kernel takes',
    { cmd: ['true', 'm'.repeat(1 << 20)] },
    // An exec that fails inside the container is a result.
    (answer) => assert.notEqual((answer as { readonly exitCode: number }).exitCode, 0),
  ),
];

function creating(
  table: Readonly<Record<string, readonly [object, Refusal]>>,
  configOf: (value: object) => object,
): readonly BadRequest[] {
  return Object.entries(table).map(([what, [value, expected]]) => ({
    rpc: 'createContainer',
    what,
    call: (fixture) => fixture.createContainer(configOf(value)),
    expected,
  }));
}

function inState(
  rpc: string,
  states: readonly ('running' | 'created' | 'exited')[],
  call: (fixture: Fixture, containerId: string) => Promise<unknown>,
): readonly BadRequest[] {
  return states.map((state) => ({
    rpc,
    what: `a container that is ${state}`,
    call: (fixture) => call(fixture, fixture[state]),
    expected: notNow(new RegExp(state)),
  }));
}

function executing(
  what: string,
  request: { readonly cmd: string[]; readonly timeout?: bigint },
  expected: BadRequest['expected'],
): readonly BadRequest[] {
  return [
    {
      rpc: 'execSync',
      what,
      call: ({ stack, running: containerId }) =>
        stack.runtime.execSync({ containerId, ...request }),
      expected,
    },
  ];
}
