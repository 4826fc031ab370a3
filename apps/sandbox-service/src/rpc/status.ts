import type { Config } from '@gantry/config';
import type { Handlers } from '../handlers.ts';
import type { Network, RuntimeHandler } from '../ports.ts';
import { longestLogLineBytes } from '../runtime/log-file.ts';
import { supports } from '../specs/handler-features.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly config: Config;
  readonly handlers: Handlers;
  readonly network: Pick<Network, 'status' | 'describe'>;
  readonly records: Pick<Records, 'settings'>;
}

/** Asked for at every sync of a kubelet: reads memory only, unless it is to be verbose. */
export function status(deps: Deps): RuntimeMethod<'status'> {
  const { handlers, network } = deps;
  return ({ verbose }) =>
    Promise.resolve({
      status: { conditions: [runtimeCondition(handlers), networkCondition(network)] },
      runtimeHandlers: handlerList(handlers),
      features: {
        supplementalGroupsPolicy: true,
        userNamespacesHostNetwork: handlers.all.some(hasUserNamespaces),
        mountOptions: true,
      },
      info: verbose ? details(deps) : {},
    });
}

function runtimeCondition(handlers: Handlers) {
  const problem = handlerProblem(handlers);
  return {
    type: 'RuntimeReady',
    status: problem === undefined,
    reason: problem === undefined ? '' : 'DefaultRuntimeNotUsable',
    message: problem ?? '',
  };
}

/** Why pods that name no handler can't run; undefined when they can. */
export function handlerProblem(handlers: Handlers): string | undefined {
  const handler = handlers.default;
  return handler === undefined
    ? 'the default runtime handler is not configured'
    : handler.unusable && `runtime handler "${handler.name}": ${handler.unusable}`;
}

function networkCondition(network: Pick<Network, 'status'>) {
  const { ready, reason, message } = network.status();
  return { type: 'NetworkReady', status: ready, reason, message };
}

/** Those that can be used; the default one also under the empty name. */
function handlerList(handlers: Handlers) {
  const usable = handlers.all.filter((handler) => handler.unusable === undefined);
  const named = usable.map((handler) => ({ name: handler.name, features: features(handler) }));
  const first = usable.find((handler) => handler === handlers.default);
  return first === undefined ? named : [{ name: '', features: features(first) }, ...named];
}

function features(handler: RuntimeHandler) {
  return {
    recursiveReadOnlyMounts: supports(handler, 'rro'),
    userNamespaces: hasUserNamespaces(handler),
  };
}

function hasUserNamespaces(handler: RuntimeHandler): boolean {
  return handler.unusable === undefined && handler.noUserNamespaces === undefined;
}

function details({ config, handlers, network, records }: Deps): Record<string, string> {
  const { message } = network.status();
  return {
    config: JSON.stringify({
      ...config,
      stateDir: config.state_dir,
      rootDir: config.root_dir,
      maxContainerLogLineSize: longestLogLineBytes,
      podCIDR: records.settings.get('pod_cidr') ?? '',
    }),
    runtimeHandlers: JSON.stringify(handlers.all),
    nodejs: process.version,
    cniconfig: JSON.stringify(network.describe()),
    lastCNILoadStatus: message === '' ? 'OK' : message,
  };
}
