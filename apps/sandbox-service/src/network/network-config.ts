import { RuntimeError } from '@gantry/errors';
import {
  array,
  boolean,
  type InferOutput,
  looseObject,
  minLength,
  optional,
  pipe,
  record,
  safeParse,
  string,
} from 'valibot';

const plugin = looseObject({
  type: pipe(string(), minLength(1)),
  capabilities: optional(record(string(), boolean())),
});

const configList = looseObject({
  cniVersion: optional(string(), '0.2.0'),
  name: pipe(string(), minLength(1)),
  plugins: pipe(array(plugin), minLength(1, 'must name at least one plugin')),
  disableGC: optional(boolean()),
});

/** One plugin's part of a network configuration; `type` names its binary. */
export type PluginConfig = InferOutput<typeof plugin>;

/** A network configuration list (CNI spec 1.0, section 1). */
export interface NetworkConfig {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly PluginConfig[];
  /** Another runtime uses the network too: nothing of it may be collected. */
  readonly disableGC?: boolean;
}

/** Every version of the CNI spec up to now; a configuration that names none is of the oldest. */
const knownVersions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];

/**
 * Checks a configuration that was read from a file or from a record. A single plugin's
 * configuration becomes a list of one. Throws `failed-precondition` with every fault.
 */
export function parseNetworkConfig(data: unknown): NetworkConfig {
  const result = safeParse(configList, wrapSinglePlugin(data));
  if (!result.success) {
    const faults = result.issues.map((issue) => {
      const path = issue.path?.map(({ key }) => String(key)).join('.');
      return path === undefined ? issue.message : `${path}: ${issue.message}`;
    });
    throw new RuntimeError('failed-precondition', faults.join('; '));
  }
  const { cniVersion, name, plugins, disableGC } = result.output;
  if (!knownVersions.includes(cniVersion)) {
    throw new RuntimeError(
      'failed-precondition',
      `cniVersion ${cniVersion} is not supported (one of ${knownVersions.join(', ')})`,
    );
  }
  const bad = plugins.find(({ type }) => type.includes('/') || type.includes('\0'));
  if (bad !== undefined) {
    throw new RuntimeError(
      'failed-precondition',
      `plugin type ${JSON.stringify(bad.type)} is a path`,
    );
  }
  return { cniVersion, name, plugins, ...(disableGC === undefined ? {} : { disableGC }) };
}

function wrapSinglePlugin(data: unknown): unknown {
  if (typeof data !== 'object' || data === null || 'plugins' in data || !('type' in data)) {
    return data;
  }
  const { cniVersion, name, ...rest } = data as Record<string, unknown>;
  return { ...(cniVersion === undefined ? {} : { cniVersion }), name, plugins: [rest] };
}

/** Whether `version` is at least `least`; both are `major.minor.patch`. */
export function isAtLeast(version: string, least: string): boolean {
  return version.localeCompare(least, 'en', { numeric: true }) >= 0;
}
