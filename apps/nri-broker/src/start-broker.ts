import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { Config } from '@gantry/config';
import { isKind, messageOf } from '@gantry/errors';
import { fullNameOf } from '@gantry/nri';
import type { Logger, Registry } from '@gantry/telemetry';
import { ownersOfUpdates } from './events/container-owners.ts';
import { Dispatcher } from './events/dispatcher.ts';
import { ToldJournal } from './events/told-journal.ts';
import { type AdmissionDeps, admitPlugin, type Candidate } from './plugins/admit-plugin.ts';
import { launchPlugin } from './plugins/launch-plugin.ts';
import { listenForPlugins } from './plugins/listen-for-plugins.ts';
import { findPluginFiles, type PluginFile } from './plugins/plugin-files.ts';
import { pluginMetrics } from './plugins/plugin-stats.ts';
import { type RefusedPlugin, TurnedAway } from './plugins/turned-away.ts';
import type { PluginHost } from './ports.ts';
import { defaultValidator } from './validation/default-validator.ts';
import { validateBy } from './validation/validate.ts';

export interface BrokerDeps {
  readonly config: Config['nri'];
  /** A directory for what the next broker is to know after a crash. */
  readonly stateDir: string;
  readonly host: PluginHost;
  readonly log: Logger;
  readonly metrics: Registry;
  /** Aborts when the broker is told to stop. */
  readonly signal: AbortSignal;
}

export interface Broker extends AsyncDisposable {
  readonly dispatcher: Dispatcher;
  /** The last ones that were not taken. */
  readonly turnedAway: TurnedAway;
}

/**
 * Starts the plugins of the directory, and listens for others. Resolves when the
 * former are ready, or were given up. Disposing of it ends all plugins.
 */
export async function startBroker(deps: BrokerDeps): Promise<Broker> {
  const { config, host, log } = deps;
  const stopping = new AbortController();
  const signal = AbortSignal.any([deps.signal, stopping.signal]);
  const rules = config.default_validator;
  const turnedAway = new TurnedAway();
  const journal = new ToldJournal(join(deps.stateDir, 'told'), log);
  const metrics = pluginMetrics(deps.metrics, () => dispatcher.count);
  const dispatcher = new Dispatcher({
    host,
    log,
    signal,
    journal,
    forgotten: (plugin) => {
      metrics.forget(plugin);
    },
    syncTimeoutMs: config.plugin_sync_timeout_ms,
    validate: validateBy(rules.enabled ? defaultValidator(rules) : undefined),
  });
  const admission: AdmissionDeps = {
    runtimeVersion: packageVersion(),
    registrationTimeoutMs: config.plugin_registration_timeout_ms,
    requestTimeoutMs: config.plugin_request_timeout_ms,
    syncTimeoutMs: config.plugin_sync_timeout_ms,
    metrics,
    log,
    update: (plugin, request, asked) => {
      const { update, evict } = request;
      log.info({ plugin, updates: update.length, evictions: evict.length }, 'asked by a plugin');
      const owners = ownersOfUpdates(plugin, update);
      return host.update({ update, evict, owners }, asked);
    },
  };
  const refuse = (refused: Omit<RefusedPlugin, 'atNanos'>, words: string): void => {
    turnedAway.note(refused);
    const plugin = refused.name && fullNameOf(refused.name);
    log.warn({ ...(plugin && { plugin }), error: refused.reason }, words);
  };
  const take = async (candidate: Candidate): Promise<void> => {
    let name = candidate.given;
    try {
      const plugin = await admitPlugin(admission, candidate);
      ({ name } = plugin);
      await dispatcher.join(plugin);
    } catch (error) {
      candidate.socket.destroy();
      if (!signal.aborted) {
        const reason = await reasonOf(error, candidate);
        const origin = candidate.given === undefined ? 'external' : 'launched';
        refuse({ ...(name && { name }), origin, reason }, 'a plugin was not taken');
      }
    }
  };

  await using undo = new AsyncDisposableStack();
  undo.use(journal);
  undo.defer(() => {
    dispatcher.close();
  });
  const files = await findPluginFiles(
    { pluginPath: config.plugin_path, configPath: config.plugin_config_path },
    (file) => {
      refuse({ ...file, origin: 'launched' }, 'not started: no plugin');
    },
  );
  const launched = files.map((file) => launch(file, take, undo));
  await Promise.all(launched);
  if (config.accept_connections) {
    const onConnection = (socket: Duplex): Promise<void> => take({ socket });
    undo.use(await listenForPlugins({ path: config.socket, onConnection }));
    log.info({ socket: config.socket }, 'listening for plugins');
  }
  const grace = setTimeout(() => {
    journal.giveUp();
  }, config.plugin_registration_timeout_ms);
  undo.defer(() => {
    clearTimeout(grace);
  });
  undo.defer(() => {
    stopping.abort();
  });
  const running = undo.move();
  return { dispatcher, turnedAway, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

async function launch(
  file: PluginFile,
  take: (candidate: Candidate) => Promise<void>,
  undo: AsyncDisposableStack,
): Promise<void> {
  const { socket, ended, kill } = launchPlugin(file);
  undo.defer(kill);
  await take({ socket, ended, given: file.name, config: file.config });
}

/** Where its connection has ended, how its process did says more. */
async function reasonOf(error: unknown, { ended }: Candidate): Promise<string> {
  const how = isKind(error, 'unavailable') ? await ended : undefined;
  return how ?? messageOf(error);
}

function packageVersion(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
