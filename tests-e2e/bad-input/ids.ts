import assert from 'node:assert/strict';
import { accepted, type BadRequest, empty, invalid, notFound, unheardOf } from './bad-request.ts';
import type { Fixture } from './fixture.ts';

/** Ids that nothing has: well formed and not. */
const strangers: Readonly<Record<string, string>> = {
  'an id that nobody has': 'e'.repeat(64),
  'a path': '../../../../etc',
  'an absolute path': '/etc/passwd',
  'a NUL': 'ab\0cd',
  'a wildcard': '*',
  'a piece of SQL': "' OR '1'='1",
  'a subject of the bus': 'gantry.>',
  'an id that is too long': 'a'.repeat(65),
  'a megabyte': 'a'.repeat(1 << 20),
};

type Call = (fixture: Fixture, id: string) => Promise<unknown>;

/** Methods that need a pod or container that is there. */
const needing: Readonly<Record<string, Call>> = {
  podSandboxStatus: ({ stack }, podSandboxId) => stack.runtime.podSandboxStatus({ podSandboxId }),
  podSandboxStats: ({ stack }, podSandboxId) => stack.runtime.podSandboxStats({ podSandboxId }),
  updatePodSandboxResources: ({ stack }, podSandboxId) =>
    stack.runtime.updatePodSandboxResources({ podSandboxId }),
  createContainer: ({ stack }, podSandboxId) =>
    stack.runtime.createContainer({
      podSandboxId,
      config: { metadata: { name: 'a' }, image: { image: 'a' } },
    }),
  portForward: ({ stack }, podSandboxId) => stack.runtime.portForward({ podSandboxId, port: [80] }),
  startContainer: ({ stack }, containerId) => stack.runtime.startContainer({ containerId }),
  containerStatus: ({ stack }, containerId) => stack.runtime.containerStatus({ containerId }),
  containerStats: ({ stack }, containerId) => stack.runtime.containerStats({ containerId }),
  updateContainerResources: ({ stack }, containerId) =>
    stack.runtime.updateContainerResources({ containerId, linux: { cpuShares: 100n } }),
  reopenContainerLog: ({ stack }, containerId) => stack.runtime.reopenContainerLog({ containerId }),
  execSync: ({ stack }, containerId) => stack.runtime.execSync({ containerId, cmd: ['true'] }),
  exec: ({ stack }, containerId) =>
    stack.runtime.exec({ containerId, cmd: ['true'], stdout: true }),
  attach: ({ stack }, containerId) => stack.runtime.attach({ containerId, stdout: true }),
  checkpointContainer: ({ stack, dir }, containerId) =>
    stack.runtime.checkpointContainer({ containerId, location: `${dir}/checkpoint.tar` }),
  checkpointPod: ({ stack, dir }, podSandboxId) =>
    stack.runtime.checkpointPod({ podSandboxId, outputPath: `${dir}/directory` }),
};

/** Methods to which what is not there is a success. */
const idempotent: Readonly<Record<string, Call>> = {
  stopPodSandbox: ({ stack }, podSandboxId) => stack.runtime.stopPodSandbox({ podSandboxId }),
  removePodSandbox: ({ stack }, podSandboxId) => stack.runtime.removePodSandbox({ podSandboxId }),
  stopContainer: ({ stack }, containerId) => stack.runtime.stopContainer({ containerId }),
  removeContainer: ({ stack }, containerId) => stack.runtime.removeContainer({ containerId }),
};

/** Lists that are filtered by an id. */
const filtering: Readonly<Record<string, Call>> = {
  listPodSandbox: ({ stack }, id) => stack.runtime.listPodSandbox({ filter: { id } }),
  listContainers: ({ stack }, id) => stack.runtime.listContainers({ filter: { id } }),
  listContainerStats: ({ stack }, id) => stack.runtime.listContainerStats({ filter: { id } }),
  listPodSandboxStats: ({ stack }, id) => stack.runtime.listPodSandboxStats({ filter: { id } }),
  streamPodSandboxes: ({ stack }, id) =>
    Array.fromAsync(stack.runtime.streamPodSandboxes({ filter: { id } })),
  streamContainers: ({ stack }, podSandboxId) =>
    Array.fromAsync(stack.runtime.streamContainers({ filter: { podSandboxId } })),
  streamContainerStats: ({ stack }, id) =>
    Array.fromAsync(stack.runtime.streamContainerStats({ filter: { id } })),
  streamPodSandboxStats: ({ stack }, id) =>
    Array.fromAsync(stack.runtime.streamPodSandboxStats({ filter: { id } })),
  listImages: ({ stack }, image) => stack.images.listImages({ filter: { image: { image } } }),
  streamImages: ({ stack }, image) =>
    Array.fromAsync(stack.images.streamImages({ filter: { image: { image } } })),
};

/** Lists that are filtered by a state that does not exist, or by labels that nobody has. */
const filters: Readonly<Record<string, (fixture: Fixture) => Promise<unknown>>> = {
  listPodSandbox: ({ stack }) =>
    stack.runtime.listPodSandbox({ filter: { state: { state: unheardOf() } } }),
  streamPodSandboxes: ({ stack }) =>
    Array.fromAsync(
      stack.runtime.streamPodSandboxes({ filter: { state: { state: unheardOf() } } }),
    ),
  listContainers: ({ stack }) =>
    stack.runtime.listContainers({ filter: { state: { state: unheardOf() } } }),
  streamContainers: ({ stack }) =>
    Array.fromAsync(stack.runtime.streamContainers({ filter: { labelSelector: largeLabels } })),
  listContainerStats: ({ stack }) =>
    stack.runtime.listContainerStats({ filter: { labelSelector: largeLabels } }),
  listPodSandboxStats: ({ stack }) =>
    stack.runtime.listPodSandboxStats({ filter: { labelSelector: largeLabels } }),
};

const largeLabels = { ['l'.repeat(1 << 20)]: 'v'.repeat(1 << 20) };

export const idRequests: readonly BadRequest[] = [
  {
    rpc: 'version',
    what: 'a version of a megabyte',
    call: ({ stack }) => stack.runtime.version({ version: 'v'.repeat(1 << 20) }),
    expected: (answer) =>
      assert.equal((answer as { readonly runtimeApiVersion: string }).runtimeApiVersion, 'v1'),
  },
  ...Object.entries(filters).map(
    ([rpc, call]): BadRequest => ({
      rpc,
      what: 'a state that is none, or labels of megabytes',
      call,
      expected: empty,
    }),
  ),
  {
    rpc: 'restorePod',
    what: 'no checkpoint',
    call: ({ stack }) => stack.runtime.restorePod({}),
    expected: invalid(/checkpoint_path/),
  },
  ...rows(needing, notFound(/not found|no such/)),
  ...rows(idempotent, accepted),
  ...rows(filtering, empty),
  ...Object.entries({ ...needing, ...idempotent }).map(([rpc, call]) => ({
    rpc,
    what: 'no id',
    call: (fixture: Fixture) => call(fixture, ''),
    expected: invalid(/must not be empty|is missing/),
  })),
];

function rows(
  methods: Readonly<Record<string, Call>>,
  expected: BadRequest['expected'],
): readonly BadRequest[] {
  return Object.entries(methods).flatMap(([rpc, call]) =>
    Object.entries(strangers).map(([what, id]) => ({
      rpc,
      what: `the id is ${what}`,
      call: (fixture: Fixture) => call(fixture, id),
      expected,
    })),
  );
}
