import { once } from 'node:events';
import { createConnection, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, RuntimeError } from '@gantry/errors';
import { Runtime } from '@gantry/proto/nri';
import { callMethod, StatusError, TtrpcClient, TtrpcServer } from '@gantry/ttrpc';
import { connections, Mux } from '../mux.ts';
import { type Eviction, evictionMessage, type Update, updateMessage } from './adjustment.ts';
import type { DefinedPlugin, FailedUpdates } from './define-plugin.ts';
import { pluginService } from './plugin-service.ts';

export type PluginState = 'waiting' | 'registered' | 'lost';

export interface RunOptions {
  /** Where the runtime listens; /var/run/nri/nri.sock unless said otherwise. */
  readonly socket?: string;
  /** Ends the plugin. */
  readonly signal?: AbortSignal;
  /**
   * Told of what happens with the connection; `waiting` once for each reason why
   * there is none. Without it stderr is told of the waiting.
   */
  readonly onState?: (state: PluginState, cause?: unknown) => void;
  /** Of the process, unless said otherwise: a runtime that starts a plugin says so there. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** A plugin that runs. Disposing of it ends its connection. */
export interface RunningPlugin extends AsyncDisposable {
  /** Resolves when it has ended. Rejects where the runtime refuses to register it. */
  readonly done: Promise<void>;
  /**
   * Changes limits without having been asked, and stops containers. Returns what
   * could not be done. Throws `unavailable` while there is no runtime.
   */
  update(updates: readonly Update[], evict?: readonly Eviction[]): Promise<FailedUpdates>;
}

const defaultSocket = '/var/run/nri/nri.sock';
const registerTimeoutMs = 5000;
const firstPauseMs = 100;
const longestPauseMs = 5000;

/**
 * Runs a plugin: as a child of the runtime where that has started it, and until
 * the runtime goes; else it connects by itself, and again whenever the
 * connection is lost. After each time `synchronize` tells it what is there.
 */
export function runPlugin(plugin: DefinedPlugin, options: RunOptions = {}): RunningPlugin {
  const { environment = process.env, socket = defaultSocket } = options;
  const stopping = new AbortController();
  const signal = AbortSignal.any([stopping.signal, ...(options.signal ? [options.signal] : [])]);
  const now: { client?: TtrpcClient } = {};
  const inherited = environment['NRI_PLUGIN_SOCKET'];
  const session = { plugin, now, signal, onState: options.onState ?? tellWaiting(plugin, socket) };
  const done =
    inherited === undefined
      ? keepConnected(session, socket)
      : serve(withGivenName(session, environment), new Socket({ fd: Number(inherited) }));
  // Whoever does not look at it must not die of it.
  done.catch(() => undefined);
  return {
    done,
    async update(updates, evict = []) {
      if (now.client === undefined) {
        throw new RuntimeError('unavailable', 'update containers: not connected to a runtime');
      }
      const { failed } = await callMethod(now.client, Runtime.method.updateContainers, {
        update: updates.map(updateMessage),
        evict: evict.map(evictionMessage),
      });
      return failed;
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await done.catch(() => undefined);
    },
  };
}

/** Whoever starts a plugin by hand is to see why nothing happens: no such socket, or no right to it. */
function tellWaiting({ index, name }: DefinedPlugin, socket: string): Session['onState'] {
  return (state, cause) => {
    if (state === 'waiting') {
      const words = `plugin ${index}-${name} waits for a runtime at ${socket}`;
      process.stderr.write(`${words}: ${messageOf(cause)}\n`);
    }
  };
}

interface Session {
  readonly plugin: DefinedPlugin;
  readonly now: { client?: TtrpcClient };
  readonly signal: AbortSignal;
  readonly onState: NonNullable<RunOptions['onState']>;
}

function withGivenName(
  session: Session,
  environment: Readonly<Record<string, string | undefined>>,
): Session {
  const { NRI_PLUGIN_NAME: name, NRI_PLUGIN_IDX: index } = environment;
  const { plugin } = session;
  return {
    ...session,
    plugin: { ...plugin, name: name ?? plugin.name, index: index ?? plugin.index },
  };
}

async function keepConnected(session: Session, path: string): Promise<void> {
  const { signal } = session;
  let pauseMs = firstPauseMs;
  let waitsFor = '';
  while (!signal.aborted) {
    const socket = createConnection(path);
    try {
      await once(socket, 'connect', { signal });
      await serve(session, socket, () => {
        pauseMs = firstPauseMs;
        waitsFor = '';
      });
    } catch (error) {
      if (error instanceof StatusError) {
        throw error;
      }
      const reason = messageOf(error);
      if (reason !== waitsFor) {
        waitsFor = reason;
        onWaiting(session, error);
      }
    } finally {
      socket.destroy();
    }
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
  }
}

function onWaiting({ signal, onState }: Session, cause: unknown): void {
  if (!signal.aborted) {
    onState('waiting', cause);
  }
}

/** One connection, to its end. Throws a `StatusError` where the runtime refuses the plugin. */
async function serve(session: Session, trunk: Duplex, onRegistered = () => {}): Promise<void> {
  const { plugin, now, signal, onState } = session;
  const mux = new Mux(trunk);
  using _end = closing(mux, signal, now);
  const server = new TtrpcServer(mux.open(connections.plugin), new Map([pluginService(plugin)]));
  const client = new TtrpcClient(mux.open(connections.runtime));
  // A handler may want it before the answer is here.
  now.client = client;
  await callMethod(
    client,
    Runtime.method.registerPlugin,
    { pluginName: plugin.name, pluginIdx: plugin.index, NRIVersion: 'v0.12.2' },
    { timeoutMs: registerTimeoutMs },
  );
  onRegistered();
  onState('registered');
  const cause = await server.closed;
  onState('lost', cause);
}

function closing(mux: Mux, signal: AbortSignal, now: Session['now']): Disposable {
  const close = (): void => {
    mux.close();
  };
  if (signal.aborted) {
    close();
  }
  signal.addEventListener('abort', close, { once: true });
  return {
    [Symbol.dispose]: () => {
      signal.removeEventListener('abort', close);
      delete now.client;
      close();
    },
  };
}
