import { RuntimeError } from '@gantry/errors';
import type { OciHook, OciRlimit, OciSpec } from '@gantry/oci';
import type { ContainerAdjustment, Hook, Hooks, KeyValue, POSIXRlimit } from '@gantry/proto/nri';
import { removedKey } from '../owners.ts';
import { adjustLinux } from './adjust-linux.ts';
import { adjustMounts } from './adjust-mounts.ts';
import { type AdjustedSpec, jsonNumber } from './adjusted-spec.ts';

export interface AdjustOptions {
  /** Adds what CDI devices need. Without it, an adjustment that names one is refused. */
  readonly injectDevices?: (spec: OciSpec, names: readonly string[]) => OciSpec;
}

/**
 * config.json with the adjustments of plugins, put in in the order of the
 * reference (NRI, pkg/runtime-tools/generate). `spec` stays as it is. Throws
 * `invalid-argument` for what makes no sense or nobody injects, and what
 * `injectDevices` throws. What only the OCI runtime can know, such as whether it
 * has schedulers, and classes of block I/O are for the caller to look at.
 */
export function adjustSpec(
  spec: OciSpec,
  adjust: ContainerAdjustment,
  options: AdjustOptions = {},
): OciSpec {
  let adjusted: AdjustedSpec = structuredClone(spec);
  adjustAnnotations(adjusted, adjust.annotations);
  adjusted.process.env = adjustEnv(adjusted.process.env, adjust.env);
  if (adjust.args.length > 0) {
    adjusted.process.args = [...adjust.args];
  }
  if (adjust.hooks !== undefined) {
    addHooks(adjusted, adjust.hooks);
  }
  if (adjust.CDIDevices.length > 0) {
    const names = adjust.CDIDevices.map(({ name }) => name);
    if (options.injectDevices === undefined) {
      throw new RuntimeError('invalid-argument', `CDI devices ${names.join(', ')}: no injector`);
    }
    adjusted = options.injectDevices(adjusted, names);
  }
  if (adjust.linux !== undefined) {
    adjustLinux(adjusted, adjust.linux);
  }
  adjusted.mounts = adjustMounts(adjusted, adjust.mounts);
  adjustRlimits(adjusted, adjust.rlimits);
  return adjusted;
}

function adjustAnnotations(spec: OciSpec, wanted: Readonly<Record<string, string>>): void {
  const annotations = new Map(Object.entries(spec.annotations ?? {}));
  for (const marked of Object.keys(wanted)) {
    const key = removedKey(marked);
    if (key !== undefined) {
      annotations.delete(key);
    }
  }
  for (const [key, value] of Object.entries(wanted)) {
    if (removedKey(key) === undefined) {
      annotations.set(key, value);
    }
  }
  if (annotations.size > 0 || spec.annotations !== undefined) {
    spec.annotations = Object.fromEntries(annotations);
  }
}

/** What is set again keeps its place; what is removed and not set is gone. */
function adjustEnv(before: readonly string[], wanted: readonly KeyValue[]): string[] {
  const set = new Map<string, string>();
  const removed = new Set<string>();
  for (const { key, value } of wanted) {
    const gone = removedKey(key);
    if (gone === undefined) {
      set.set(key, value);
    } else {
      removed.add(gone);
    }
  }
  const kept = before.flatMap((text) => {
    const key = text.slice(0, text.includes('=') ? text.indexOf('=') : undefined);
    const value = set.get(key);
    if (value !== undefined) {
      set.delete(key);
      return [`${key}=${value}`];
    }
    return removed.has(key) ? [] : [text];
  });
  return [...kept, ...[...set].map(([key, value]) => `${key}=${value}`)];
}

function addHooks(spec: OciSpec, wanted: Hooks): void {
  const lists = {
    prestart: wanted.prestart,
    createRuntime: wanted.createRuntime,
    createContainer: wanted.createContainer,
    startContainer: wanted.startContainer,
    poststart: wanted.poststart,
    poststop: wanted.poststop,
  };
  for (const [name, hooks] of Object.entries(lists)) {
    if (hooks.length > 0) {
      const list = name as keyof typeof lists;
      spec.hooks = {
        ...spec.hooks,
        [list]: [...(spec.hooks?.[list] ?? []), ...hooks.map(ociHook)],
      };
    }
  }
}

function ociHook({ path, args, env, timeout }: Hook): OciHook {
  return {
    path,
    ...(args.length > 0 && { args: [...args] }),
    ...(env.length > 0 && { env: [...env] }),
    ...(timeout && { timeout: Number(timeout.value) }),
  };
}

/** In place of one of the same type: the OCI allows one of each. */
function adjustRlimits(spec: OciSpec, wanted: readonly POSIXRlimit[]): void {
  if (wanted.length > 0) {
    const limits = new Map<string, OciRlimit>();
    for (const limit of spec.process.rlimits ?? []) {
      limits.set(limit.type, limit);
    }
    for (const { type, soft, hard } of wanted) {
      limits.set(type, { type, soft: jsonNumber(soft), hard: jsonNumber(hard) });
    }
    spec.process.rlimits = [...limits.values()];
  }
}
