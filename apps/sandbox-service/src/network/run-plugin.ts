import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { type ErrorKind, kindOf, RuntimeError } from '@gantry/errors';
import { type RunResult, run, toolPackage } from '@gantry/host';
import { withSpan } from '@gantry/telemetry';
import { type InferOutput, number, object, optional, safeParse, string } from 'valibot';

interface CallOfNetwork {
  /** The binary's name. */
  readonly type: string;
  readonly network: string;
  /** Goes to the plugin's stdin. */
  readonly config: unknown;
}

/** A call for one pod (CNI spec 1.0, section 2). */
export interface PodCall extends CallOfNetwork {
  readonly command: 'ADD' | 'DEL';
  readonly containerId: string;
  /** Empty when the namespace is gone. */
  readonly netnsPath: string;
  readonly ifName: string;
  readonly args: string;
}

/** One call of one plugin; those for no pod are of CNI spec 1.1. */
export type PluginCall = PodCall | (CallOfNetwork & { readonly command: 'GC' | 'STATUS' });

/** CNI spec 1.0, section 5, "Error". */
const pluginError = object({
  code: optional(number(), 0),
  msg: string(),
  details: optional(string(), ''),
});

export interface PluginOptions {
  readonly binDirs: readonly string[];
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs one plugin and returns the JSON that it printed, undefined for none. Whatever goes wrong is
 * a RuntimeError that names plugin, command and network and has the plugin's own words. On abort
 * and timeout the plugin is killed with all that it has started.
 */
export async function runPlugin(call: PluginCall, options: PluginOptions): Promise<unknown> {
  const pod = 'containerId' in call ? call.containerId : undefined;
  const attributes = { 'cni.network': call.network, ...(pod && { 'sandbox.id': pod }) };
  return withSpan(`cni ${call.command} ${call.type}`, attributes, async () => {
    const whose = pod === undefined ? '' : `, pod ${pod}`;
    const doing = `cni ${call.command} ${call.type} (network ${call.network}${whose})`;
    const path = findPlugin(call.type, options.binDirs, doing);
    const result = await execute(path, call, options, doing);
    if (result.exitCode !== 0) {
      throw pluginFailure(doing, result);
    }
    return parseOutput(result.stdout.toString(), doing);
  });
}

/** The path of a plugin's binary. Throws `failed-precondition`, with `doing` first, when there is none. */
export function findPlugin(type: string, binDirs: readonly string[], doing: string): string {
  for (const dir of binDirs) {
    const path = join(dir, type);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next directory may have it.
    }
  }
  const debian = toolPackage(type);
  const hint = debian === undefined ? '' : `: install Debian package ${debian}`;
  const message = `${doing}: no plugin ${type} in ${binDirs.join(', ')}${hint}`;
  throw new RuntimeError('failed-precondition', message);
}

async function execute(
  path: string,
  call: PluginCall,
  options: PluginOptions,
  doing: string,
): Promise<RunResult> {
  try {
    return await run(path, [], {
      env: environment(call, options.binDirs),
      stdin: JSON.stringify(call.config),
      timeoutMs: options.timeoutMs,
      killGroup: true,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  } catch (cause) {
    throw new RuntimeError(kindOf(cause), doing, { cause });
  }
}

/** Plugins need PATH for iptables and the like; nothing else of ours is their business. */
function environment(call: PluginCall, binDirs: readonly string[]): Record<string, string> {
  const path = process.env['PATH'] ?? '';
  return {
    PATH: `${path}${path === '' ? '' : ':'}/usr/sbin:/usr/bin:/sbin:/bin`,
    CNI_COMMAND: call.command,
    CNI_PATH: binDirs.join(':'),
    ...('containerId' in call && {
      CNI_CONTAINERID: call.containerId,
      CNI_NETNS: call.netnsPath,
      CNI_IFNAME: call.ifName,
      CNI_ARGS: call.args,
    }),
  };
}

function parseOutput(output: string, doing: string): unknown {
  if (output.trim() === '') {
    return undefined;
  }
  try {
    return JSON.parse(output) as unknown;
  } catch (cause) {
    const message = `${doing}: the plugin printed no JSON but ${JSON.stringify(oneLine(output))}`;
    throw new RuntimeError('internal', message, { cause });
  }
}

/** A failed plugin prints `{code, msg, details}`; one that crashed prints anything, or nothing. */
function pluginFailure(doing: string, result: RunResult): RuntimeError {
  const how =
    result.signal === null ? `exit code ${result.exitCode}` : `killed by ${result.signal}`;
  const error = parseError(result.stdout.toString());
  if (error !== undefined) {
    const details = error.details === '' ? '' : `: ${oneLine(error.details)}`;
    const words = `${oneLine(error.msg)}${details} (code ${error.code})`;
    return new RuntimeError(kindOfCode(error.code), `${doing}: ${words}`);
  }
  const words = oneLine(`${result.stdout.toString()} ${result.stderr.toString()}`);
  return new RuntimeError('internal', `${doing}: ${how}${words === '' ? '' : `: ${words}`}`);
}

function parseError(output: string): InferOutput<typeof pluginError> | undefined {
  try {
    const result = safeParse(pluginError, JSON.parse(output));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}

/** Well-known codes (CNI spec 1.0, section 5): 7 is a bad configuration, 11 asks to try again later, 50 is no network. */
function kindOfCode(code: number): ErrorKind {
  return code === 7
    ? 'failed-precondition'
    : code === 11 || code === 50
      ? 'unavailable'
      : 'internal';
}

function oneLine(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, 2000);
}
