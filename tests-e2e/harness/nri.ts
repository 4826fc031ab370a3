import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type DefinedPlugin, type RunningPlugin, runPlugin } from '@gantry/nri';
import { type Stack, type StackOptions, startStack } from './stack.ts';
import { until } from './until.ts';

export interface NriStack extends Stack {
  readonly nriSocket: string;
  /** Where plugins lie that the broker starts itself. */
  readonly pluginDir: string;
  readonly pluginConfigDir: string;
  /** Names of the plugins that are asked now. */
  readonly pluginNames: () => Promise<readonly string[]>;
  /** Connects a plugin of the kit and waits until it is asked. */
  plug(plugin: DefinedPlugin): Promise<RunningPlugin>;
  untilPlugged(...names: string[]): Promise<void>;
}

/** More lines of [nri] where no plugin is to be dropped: programs that start together, a host that is busy. */
export const unhurried =
  'plugin_registration_timeout_ms = 60000\nplugin_request_timeout_ms = 20000\n';

/** A stack with NRI, its plugin directories beside it. */
export async function startNriStack(
  dir: string,
  more = '',
  options: StackOptions = {},
): Promise<NriStack> {
  const nriSocket = join(dir, 'nri', 'nri.sock');
  const pluginDir = join(dir, 'plugins');
  const pluginConfigDir = join(dir, 'conf.d');
  await mkdir(pluginDir, { recursive: true });
  await mkdir(pluginConfigDir, { recursive: true });
  const stack = await startStack({
    ...options,
    config: `${options.config ?? ''}
[nri]
enabled = true
socket = "${nriSocket}"
plugin_path = "${pluginDir}"
plugin_config_path = "${pluginConfigDir}"
${more}`,
  });
  const pluginNames = async (): Promise<string[]> => {
    const { exitCode, stdout } = await stack.gantry('nri', 'plugins', '-o', 'json');
    if (exitCode !== 0) {
      return [];
    }
    const { plugins } = JSON.parse(stdout) as {
      plugins: { index: string; name: string; state: string }[];
    };
    return plugins.filter(({ state }) => state === 'ready').map((p) => `${p.index}-${p.name}`);
  };
  const untilPlugged = async (...names: string[]): Promise<void> => {
    await until('plugins', pluginNames, (now) => names.every((name) => now.includes(name)));
  };
  return {
    ...stack,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
    nriSocket,
    pluginDir,
    pluginConfigDir,
    pluginNames,
    untilPlugged,
    plug: async (plugin) => {
      const running = runPlugin(plugin, { socket: nriSocket, environment: {} });
      await untilPlugged(`${plugin.index}-${plugin.name}`);
      return running;
    },
  };
}
