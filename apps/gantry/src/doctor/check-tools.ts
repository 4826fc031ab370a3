import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '@gantry/config';
import { findTool, run, toolPackage } from '@gantry/host';
import { type Finding, fail, ok, warn } from './finding.ts';

const versionTimeoutMs = 5000;

interface Wanted {
  readonly check: string;
  /** A name or a path. */
  readonly tool: string;
  readonly isNeeded: boolean;
}

/** Every program that the stack runs, with its version. */
export async function checkTools(config: Config): Promise<Finding[]> {
  const wanted: Wanted[] = [
    ...Object.entries(config.runtimes).map(([name, runtime]) => ({
      check: `runtime ${name}`,
      tool: runtime.path,
      isNeeded: name === config.default_runtime,
    })),
    { check: 'conmon', tool: config.pods.conmon_path, isNeeded: true },
    ...(config.nats.url === ''
      ? [{ check: 'nats-server', tool: config.nats.path, isNeeded: true }]
      : []),
    { check: 'iptables', tool: 'iptables', isNeeded: false },
  ];
  return Promise.all(wanted.map(checkTool));
}

async function checkTool({ check, tool, isNeeded }: Wanted): Promise<Finding> {
  const path = findTool(tool);
  if (path === undefined) {
    const debian = toolPackage(tool);
    const fix =
      debian === undefined ? `install ${tool}, or name its path` : `apt-get install ${debian}`;
    return (isNeeded ? fail : warn)(check, `${tool} is missing`, fix);
  }
  const version = await versionOf(path);
  return version === undefined
    ? warn(check, `${path} does not tell its version`, `try it by hand: ${path} --version`)
    : ok(check, `${version} (${path})`);
}

async function versionOf(path: string): Promise<string | undefined> {
  try {
    const { stdout, stderr, exitCode } = await run(path, ['--version'], {
      timeoutMs: versionTimeoutMs,
    });
    const line = Buffer.concat([stdout, stderr]).toString().split('\n')[0]?.trim();
    return exitCode === 0 && line ? line : undefined;
  } catch {
    return undefined;
  }
}

/** The network configuration that pods get, and the plugins that it names. */
export function checkCni(
  config: Config,
  files: { list: (dir: string) => readonly string[]; read: (path: string) => string | undefined },
): Finding[] {
  const { conf_dir: dir, bin_dirs: binDirs } = config.cni;
  const check = 'CNI config';
  const name = files.list(dir).find((file) => /\.(conf|conflist|json)$/.test(file));
  if (name === undefined) {
    return [
      warn(
        check,
        `none in ${dir}`,
        'install a network plugin, or write a bridge: ./gantry up --cni',
      ),
    ];
  }
  const types = pluginTypes(files.read(join(dir, name)) ?? '');
  if (types === undefined) {
    return [fail(check, `${join(dir, name)} is no CNI configuration`, 'mend or remove it')];
  }
  const missing = types.filter((type) => !binDirs.some((bin) => existsSync(join(bin, type))));
  const plugins = `${types.join(', ')} in ${binDirs.join(', ')}`;
  return [
    ok(check, join(dir, name)),
    missing.length === 0
      ? ok('CNI plugins', plugins)
      : fail(
          'CNI plugins',
          `${missing.join(', ')} not in ${binDirs.join(', ')}`,
          'apt-get install containernetworking-plugins, or set cni.bin_dirs',
        ),
  ];
}

/** The plugins of a configuration or a list of them, with those for addresses; undefined for what is none. */
export function pluginTypes(text: string): string[] | undefined {
  interface Plugin {
    readonly type?: string;
    readonly ipam?: { readonly type?: string };
    readonly plugins?: readonly Plugin[];
  }
  try {
    const config = JSON.parse(text) as Plugin;
    const plugins = config.plugins ?? [config];
    const types = plugins.flatMap((plugin) => [plugin.type, plugin.ipam?.type]);
    const named = types.filter((type): type is string => typeof type === 'string' && type !== '');
    return named.length === 0 ? undefined : [...new Set(named)];
  } catch {
    return undefined;
  }
}
