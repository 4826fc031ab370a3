import type { Duplex } from 'node:stream';
import { kindOf, messageOf, RuntimeError } from '@gantry/errors';
import { descriptorOf } from '@gantry/host';
import {
  checkPluginName,
  connections,
  eventsOf,
  Mux,
  type PluginName,
  type SendLast,
  synchronizeParts,
} from '@gantry/nri';
import {
  type ContainerUpdate,
  Plugin as PluginService,
  Runtime,
  type UpdateContainersRequest,
} from '@gantry/proto/nri';
import type { Logger } from '@gantry/telemetry';
import { maxDataBytes, serviceHandlers, TtrpcClient, TtrpcServer } from '@gantry/ttrpc';
import type { Snapshot } from '../ports.ts';
import { maxMessageFields, Plugin } from './plugin.ts';
import type { PluginMetrics } from './plugin-stats.ts';

/** The NRI of this broker, as plugins are told. */
const nriVersion = 'v0.12.2';
/** Updates that one plugin may have under way; more of them wait with it. */
const maxUpdatesInFlight = 8;
const lastWordMs = 100;

export interface AdmissionDeps {
  readonly runtimeVersion: string;
  readonly registrationTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly syncTimeoutMs: number;
  readonly metrics: PluginMetrics;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** What a plugin wants without having been asked. */
  readonly update: (
    plugin: string,
    request: UpdateContainersRequest,
    signal: AbortSignal,
  ) => Promise<readonly ContainerUpdate[]>;
}

export interface Candidate {
  readonly socket: Duplex;
  /** Of a plugin that was started from a file: what it says of itself does not count. */
  readonly given?: PluginName;
  /** The text of its config file. */
  readonly config?: string;
  /** How its process has ended by itself; of one that was started. */
  readonly ended?: Promise<string | undefined>;
}

/**
 * Registers and configures a plugin. Throws, and the connection is closed, when
 * it says nothing in time, or nonsense. It is not synchronised yet.
 */
export async function admitPlugin(deps: AdmissionDeps, candidate: Candidate): Promise<Plugin> {
  const mux = new Mux(candidate.socket);
  const client = new TtrpcClient(mux.open(connections.plugin));
  const registration = Promise.withResolvers<PluginName>();
  registration.promise.catch(() => undefined);
  let plugin: Plugin | undefined;
  const server = new TtrpcServer(
    mux.open(connections.runtime),
    new Map([
      serviceHandlers(
        Runtime,
        {
          registerPlugin: ({ pluginName, pluginIdx }) =>
            Promise.try(() => {
              if (plugin !== undefined) {
                throw new RuntimeError('already-exists', 'register: it has registered before');
              }
              try {
                const said = { index: pluginIdx, name: pluginName };
                registration.resolve(candidate.given ?? checkPluginName(said));
              } catch (error) {
                registration.reject(error);
                throw error;
              }
              return {};
            }),
          updateContainers: async (request, { signal }) => {
            if (plugin === undefined) {
              throw new RuntimeError('failed-precondition', 'update containers: register first');
            }
            return { failed: [...(await deps.update(plugin.fullName, request, signal))] };
          },
        },
        { maxFields: maxMessageFields },
      ),
    ]),
    { maxInFlight: maxUpdatesInFlight },
  );
  // One end takes the other along.
  void server.closed.then(() => {
    mux.close();
  });
  try {
    const name = await inTime(registration.promise, client, deps.registrationTimeoutMs);
    const origin = candidate.given === undefined ? 'external' : 'launched';
    plugin = new Plugin({
      name,
      origin,
      client,
      writeLastApart: (frame, sendLast, done) => {
        const send: SendLast = (byte) => sendLast(socketOf(candidate), byte);
        mux.writeLastApart(connections.plugin, frame, send, done);
      },
      ...deps,
    });
    await configure(plugin, candidate, deps);
    return plugin;
  } catch (error) {
    // A moment, for the answer that says why.
    setTimeout(() => {
      mux.close();
    }, lastWordMs).unref();
    throw error;
  }
}

function socketOf({ socket }: Candidate): number {
  const descriptor = descriptorOf(socket);
  if (descriptor === undefined) {
    throw new RuntimeError('unavailable', 'its socket is closed');
  }
  return descriptor;
}

async function inTime(
  registration: Promise<PluginName>,
  client: TtrpcClient,
  timeoutMs: number,
): Promise<PluginName> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    // Where this process was held up as long, its words may lie there unread: they come first.
    setImmediate(() => {
      const words = `it has not registered within ${timeoutMs} ms`;
      late.reject(new RuntimeError('deadline-exceeded', words));
    });
  }, timeoutMs);
  const gone = client.closed.then((cause) => {
    throw cause;
  });
  try {
    return await Promise.race([registration, late.promise, gone]);
  } finally {
    clearTimeout(timer);
  }
}

async function configure(plugin: Plugin, { config = '' }: Candidate, deps: AdmissionDeps) {
  try {
    const { events } = await plugin.ask(PluginService.method.configure, {
      config,
      runtimeName: 'gantry',
      runtimeVersion: deps.runtimeVersion,
      registrationTimeout: BigInt(deps.registrationTimeoutMs),
      requestTimeout: BigInt(deps.requestTimeoutMs),
      NRIVersion: nriVersion,
    });
    plugin.events = eventsOf(events);
  } catch (cause) {
    plugin.drop(`configure: ${messageOf(cause)}`);
    throw new RuntimeError(kindOf(cause), `plugin "${plugin.fullName}": configure`, { cause });
  }
}

/**
 * Tells a plugin what is there; returns what it wants of that. Throws, and the
 * plugin is dropped, when it does not answer in time or can't take parts.
 */
export async function synchronizePlugin(
  plugin: Plugin,
  { pods, containers }: Pick<Snapshot, 'pods' | 'containers'>,
  timeoutMs: number,
): Promise<readonly ContainerUpdate[]> {
  const deadline = performance.now() + timeoutMs;
  try {
    for (const part of synchronizeParts(pods, containers, maxDataBytes)) {
      const left = Math.max(1, deadline - performance.now());
      const answer = await plugin.ask(PluginService.method.synchronize, part, { timeoutMs: left });
      if (!part.more) {
        return answer.update;
      }
      if (!answer.more || answer.update.length > 0) {
        throw new RuntimeError('unimplemented', 'it can not take it in parts');
      }
    }
    return [];
  } catch (cause) {
    plugin.drop(`synchronize: ${messageOf(cause)}`);
    throw new RuntimeError(kindOf(cause), `plugin "${plugin.fullName}": synchronize`, { cause });
  }
}
