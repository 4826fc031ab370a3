import type { ServiceImpl } from '@gantry/bus';
import type { RuntimeService } from '@gantry/proto';
import type { Logger } from '@gantry/telemetry';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { Sandbox } from '../store/sandbox-store.ts';

type Life = Pick<
  ServiceImpl<typeof RuntimeService>,
  | 'runPodSandbox'
  | 'stopPodSandbox'
  | 'removePodSandbox'
  | 'createContainer'
  | 'startContainer'
  | 'removeContainer'
>;

interface Deps {
  readonly records: Pick<Records, 'findSandbox' | 'findContainer'>;
  readonly log: Pick<Logger, 'info'>;
}

/**
 * The methods that make a pod's life, each with a line in the log once it has changed something: a
 * stop or removal of what is stopped or gone has none. What fails is logged by the kit, and how
 * containers end where that is recorded.
 */
export function logLife({ records, log }: Deps, methods: Life): Life {
  const sandboxOf = finder(records.findSandbox);
  const containerOf = finder(records.findContainer);
  return {
    runPodSandbox: async (request, context) => {
      const ms = stopwatch();
      const answer = await methods.runPodSandbox(request, context);
      const sandbox = sandboxOf(answer.podSandboxId);
      const ips = sandbox?.facts.attachment?.ips;
      log.info({ ...podFields(sandbox), ...(ips && { ips }), ms: ms() }, 'the pod runs');
      return answer;
    },
    stopPodSandbox: async (request, context) => {
      const ms = stopwatch();
      const sandbox = sandboxOf(request.podSandboxId);
      const answer = await methods.stopPodSandbox(request, context);
      if (sandbox?.phase === 'ready') {
        log.info({ ...podFields(sandbox), ms: ms() }, 'the pod is stopped');
      }
      return answer;
    },
    removePodSandbox: async (request, context) => {
      const ms = stopwatch();
      const sandbox = sandboxOf(request.podSandboxId);
      const answer = await methods.removePodSandbox(request, context);
      if (sandbox !== undefined) {
        log.info({ ...podFields(sandbox), ms: ms() }, 'the pod is removed');
      }
      return answer;
    },
    createContainer: async (request, context) => {
      const ms = stopwatch();
      const answer = await methods.createContainer(request, context);
      const container = containerOf(answer.containerId);
      const image = container?.config.image?.image;
      log.info({ ...containerFields(container), image, ms: ms() }, 'the container is created');
      return answer;
    },
    startContainer: async (request, context) => {
      const ms = stopwatch();
      const answer = await methods.startContainer(request, context);
      const container = containerOf(request.containerId);
      log.info({ ...containerFields(container), ms: ms() }, 'the container is started');
      return answer;
    },
    removeContainer: async (request, context) => {
      const ms = stopwatch();
      const container = containerOf(request.containerId);
      const answer = await methods.removeContainer(request, context);
      if (container !== undefined) {
        log.info({ ...containerFields(container), ms: ms() }, 'the container is removed');
      }
      return answer;
    },
  };
}

/** What a log line says of a container: which it is, and whose. */
export function containerFields(container: Container | undefined): object {
  return container === undefined
    ? {}
    : {
        container: container.id,
        name: container.config.metadata?.name,
        sandbox: container.sandboxId,
      };
}

function podFields(sandbox: Sandbox | undefined): object {
  const { namespace, name } = sandbox?.config.metadata ?? {};
  return sandbox === undefined ? {} : { sandbox: sandbox.id, pod: `${namespace}/${name}` };
}

/** Whether an id is wrong is for the method to say. */
function finder<T>(find: (id: string) => T | undefined): (id: string | undefined) => T | undefined {
  return (id = '') => {
    try {
      return find(id);
    } catch {
      return undefined;
    }
  };
}

function stopwatch(): () => number {
  const start = performance.now();
  return () => Math.round(performance.now() - start);
}
