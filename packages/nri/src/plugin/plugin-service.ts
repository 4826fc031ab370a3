import { create } from '@bufbuild/protobuf';
import {
  type Container,
  ContainerSchema,
  Event,
  Plugin as PluginService,
  type PodSandbox,
  PodSandboxSchema,
} from '@gantry/proto/nri';
import { serviceHandlers } from '@gantry/ttrpc';
import {
  adjustmentMessage,
  evictionMessage,
  limitsMessage,
  type Update,
  updateMessage,
} from './adjustment.ts';
import type { DefinedPlugin, PluginHandlers } from './define-plugin.ts';

interface Subject {
  readonly pod?: PodSandbox | undefined;
  readonly container?: Container | undefined;
}

const podOf = ({ pod }: Subject): PodSandbox => pod ?? create(PodSandboxSchema);
const containerOf = ({ container }: Subject): Container => container ?? create(ContainerSchema);

/**
 * What a runtime calls on a plugin. Runtimes before NRI 0.12 tell most events by
 * StateChange: the same functions are called.
 */
export function pluginService({
  handlers,
  events,
}: DefinedPlugin): ReturnType<typeof serviceHandlers> {
  const podEvent =
    (name: 'runPodSandbox' | 'postUpdatePodSandbox' | 'stopPodSandbox' | 'removePodSandbox') =>
    async (subject: Subject) => {
      await handlers[name]?.(podOf(subject));
      return {};
    };
  const containerEvent =
    (
      name:
        | 'postCreateContainer'
        | 'startContainer'
        | 'postStartContainer'
        | 'postUpdateContainer'
        | 'removeContainer',
    ) =>
    async (subject: Subject) => {
      await handlers[name]?.(podOf(subject), containerOf(subject));
      return {};
    };
  const plain = {
    runPodSandbox: podEvent('runPodSandbox'),
    postUpdatePodSandbox: podEvent('postUpdatePodSandbox'),
    stopPodSandbox: podEvent('stopPodSandbox'),
    removePodSandbox: podEvent('removePodSandbox'),
    postCreateContainer: containerEvent('postCreateContainer'),
    startContainer: containerEvent('startContainer'),
    postStartContainer: containerEvent('postStartContainer'),
    postUpdateContainer: containerEvent('postUpdateContainer'),
    removeContainer: containerEvent('removeContainer'),
  };
  const byEvent = new Map<Event, (subject: Subject) => Promise<object>>([
    [Event.RUN_POD_SANDBOX, plain.runPodSandbox],
    [Event.POST_UPDATE_POD_SANDBOX, plain.postUpdatePodSandbox],
    [Event.STOP_POD_SANDBOX, plain.stopPodSandbox],
    [Event.REMOVE_POD_SANDBOX, plain.removePodSandbox],
    [Event.POST_CREATE_CONTAINER, plain.postCreateContainer],
    [Event.START_CONTAINER, plain.startContainer],
    [Event.POST_START_CONTAINER, plain.postStartContainer],
    [Event.POST_UPDATE_CONTAINER, plain.postUpdateContainer],
    [Event.REMOVE_CONTAINER, plain.removeContainer],
  ]);
  return serviceHandlers(PluginService, {
    configure: async ({ config, runtimeName, runtimeVersion }) => {
      await handlers.configure?.(config, { name: runtimeName, version: runtimeVersion });
      return { events };
    },
    synchronize: synchronizer(handlers),
    shutdown: () => Promise.resolve({}),
    stateChange: async (subject) => {
      await byEvent.get(subject.event)?.(subject);
      return {};
    },
    ...plain,
    ...answeringEvents(handlers),
  });
}

/** Those whose answers count. */
function answeringEvents(handlers: PluginHandlers) {
  return {
    updatePodSandbox: async (request: Parameters_<'updatePodSandbox'>) => {
      await handlers.updatePodSandbox?.(podOf(request), {
        overhead: request.overheadLinuxResources,
        resources: request.linuxResources,
      });
      return {};
    },
    createContainer: async (subject: Subject) => {
      const result = await handlers.createContainer?.(podOf(subject), containerOf(subject));
      if (result === undefined) {
        return {};
      }
      const { updates = [], evict = [], ...adjustment } = result;
      return {
        ...(Object.keys(adjustment).length > 0 && { adjust: adjustmentMessage(adjustment) }),
        update: updates.map(updateMessage),
        evict: evict.map(evictionMessage),
      };
    },
    updateContainer: async (request: Parameters_<'updateContainer'>) => {
      const container = containerOf(request);
      const result = await handlers.updateContainer?.(
        podOf(request),
        container,
        request.linuxResources,
      );
      if (result === undefined) {
        return {};
      }
      const { limits, updates = [], evict = [] } = result;
      const own = limits && {
        containerId: container.id,
        linux: { resources: limitsMessage(limits) },
      };
      return {
        update: [...updates.map(updateMessage), ...(own === undefined ? [] : [own])],
        evict: evict.map(evictionMessage),
      };
    },
    stopContainer: async (subject: Subject) => {
      const updates = await handlers.stopContainer?.(podOf(subject), containerOf(subject));
      return { update: (updates ?? []).map(updateMessage) };
    },
    validateContainerAdjustment: async (request: Parameters_<'validateContainerAdjustment'>) => {
      const reason = await handlers.validateContainerAdjustment?.(request);
      return reason === undefined ? {} : { reject: true, reason };
    },
  };
}

type Handlers = NonNullable<Parameters<typeof serviceHandlers<typeof PluginService>>[1]>;
type Parameters_<K extends keyof Handlers> = Parameters<NonNullable<Handlers[K]>>[0];

/** Puts the parts together; each but the last is answered by saying that more may come. */
function synchronizer(handlers: PluginHandlers): NonNullable<Handlers['synchronize']> {
  let pods: PodSandbox[] = [];
  let containers: Container[] = [];
  return async (request) => {
    pods.push(...request.pods);
    containers.push(...request.containers);
    if (request.more) {
      return { more: true };
    }
    const all = { pods, containers };
    pods = [];
    containers = [];
    const updates: readonly Update[] | undefined =
      (await handlers.synchronize?.(all.pods, all.containers)) ?? undefined;
    return { update: (updates ?? []).map(updateMessage) };
  };
}
