import { RuntimeError } from '@gantry/errors';
import {
  array,
  getDotPath,
  type InferOutput,
  integer,
  minValue,
  nullish,
  number,
  object,
  picklist,
  pipe,
  safeParse,
  string,
} from 'valibot';
import { kernelVersionOf } from '../kernel-version.ts';
import type { SeccompCondition, SeccompProfile, SeccompRule } from './profile.ts';

const actions = picklist([
  'SCMP_ACT_KILL',
  'SCMP_ACT_KILL_PROCESS',
  'SCMP_ACT_KILL_THREAD',
  'SCMP_ACT_TRAP',
  'SCMP_ACT_ERRNO',
  'SCMP_ACT_TRACE',
  'SCMP_ACT_ALLOW',
  'SCMP_ACT_LOG',
  'SCMP_ACT_NOTIFY',
]);
const operators = picklist([
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
]);
const count = pipe(number(), integer(), minValue(0));
const strings = nullish(array(string()), []);

const condition = nullish(
  object({ caps: strings, arches: strings, minKernel: nullish(string()) }),
  {},
);

const rule = object({
  name: nullish(string()),
  names: strings,
  action: actions,
  errnoRet: nullish(count),
  args: nullish(
    array(object({ index: count, value: count, valueTwo: nullish(count), op: operators })),
    [],
  ),
  includes: condition,
  excludes: condition,
});

const schema = object({
  defaultAction: actions,
  defaultErrnoRet: nullish(count),
  architectures: nullish(array(string())),
  flags: nullish(array(string())),
  listenerPath: nullish(string()),
  listenerMetadata: nullish(string()),
  syscalls: nullish(array(rule), []),
});

/**
 * Parses the file of a Localhost profile: the `seccomp` object of the OCI
 * runtime spec, or Docker's form of it with `name`, `includes` and `excludes`.
 * Docker's archMap is not needed: without `architectures` the profile counts
 * for all modes of this CPU. Unknown system calls are left for the runtime to skip.
 * Throws `invalid-argument` that begins with `what` and names each fault's path.
 */
export function parseSeccompProfile(text: string, what: string): SeccompProfile {
  const result = safeParse(schema, parseJson(text, what));
  if (!result.success) {
    const faults = result.issues.map((issue) => `${getDotPath(issue) ?? ''}: ${issue.message}`);
    throw new RuntimeError('invalid-argument', `${what}: ${faults.join('; ')}`);
  }
  const { syscalls, ...profile } = result.output;
  return { ...present(profile), rules: syscalls.map(ruleOf) };
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new RuntimeError('invalid-argument', `${what}: not JSON`, { cause });
  }
}

function ruleOf(source: InferOutput<typeof rule>): SeccompRule {
  const { name, names, errnoRet, args, includes, excludes, action } = source;
  return {
    action,
    names: name ? [name, ...names] : names,
    ...present({ errnoRet }),
    ...(args.length > 0 && { args: args.map((arg) => present(arg)) }),
    when: conditionOf(includes),
    unless: conditionOf(excludes),
  };
}

function conditionOf(source: InferOutput<typeof condition>): SeccompCondition {
  const { caps, arches, minKernel } = source;
  const kernel = kernelVersionOf(minKernel ?? '');
  return {
    ...(caps.length > 0 && { capabilities: caps }),
    ...(arches.length > 0 && { arches }),
    ...(kernel !== undefined && { minKernel: kernel }),
  };
}

type Present<T> = { [K in keyof T]: NonNullable<T[K]> };

/** Leaves out what is null or undefined. */
function present<T extends object>(source: T): Partial<Present<T>> & Required<NonNullFields<T>> {
  return Object.fromEntries(
    Object.entries(source).filter(([, value]) => value !== null && value !== undefined),
  ) as Partial<Present<T>> & Required<NonNullFields<T>>;
}

type NonNullFields<T> = {
  [K in keyof T as null extends T[K] ? never : undefined extends T[K] ? never : K]: T[K];
};
