import { RuntimeError } from '@gantry/errors';
import type { OciHook, OciHooks, OciSpec } from '@gantry/oci';
import {
  array,
  boolean,
  getDotPath,
  type InferOutput,
  literal,
  minLength,
  optional,
  picklist,
  pipe,
  record,
  safeParse,
  strictObject,
  string,
} from 'valibot';
import { type HookStage, hookSchema, hookStages } from './stages.ts';

// oci-hooks(5) of containers/common, version 1.0.0.
const schema = strictObject({
  version: literal('1.0.0'),
  hook: hookSchema,
  when: strictObject({
    always: optional(boolean()),
    annotations: optional(record(string(), string())),
    commands: optional(array(string())),
    hasBindMounts: optional(boolean()),
  }),
  stages: pipe(array(picklist(hookStages)), minLength(1)),
});

/** A file of a hooks directory: what is run at which stages of which containers. */
export interface HookFile {
  readonly hook: OciHook;
  readonly stages: readonly HookStage[];
  readonly when: {
    readonly always?: boolean;
    /** For each pair, some annotation must match both. */
    readonly annotations: readonly (readonly [RegExp, RegExp])[];
    /** One must match the program. */
    readonly commands?: readonly RegExp[];
    readonly hasBindMounts?: boolean;
  };
}

/** What the conditions of hooks look at. */
export interface HookSubject {
  /** Of the pod and of the container. */
  readonly annotations: Readonly<Record<string, string>>;
  /** `process.args[0]`. */
  readonly command: string;
  /** The request has mounts. */
  readonly hasBindMounts: boolean;
}

/** Parses a hooks file (oci-hooks(5)). Throws `failed-precondition` that begins with `what`: nobody wants a hook left out. */
export function parseHookFile(document: unknown, what: string): HookFile {
  const parsed = safeParse(schema, document);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new RuntimeError(
      'failed-precondition',
      `${what}: ${getDotPath(issue) ?? ''}: ${issue.message}`,
    );
  }
  const { hook, stages, when } = parsed.output;
  if (Object.keys(when).length === 0) {
    throw new RuntimeError('failed-precondition', `${what}: when: no condition`);
  }
  return { hook: definite(hook), stages, when: conditionsOf(when, what) };
}

type When = InferOutput<typeof schema>['when'];

function conditionsOf(when: When, what: string): HookFile['when'] {
  const pattern = (source: string): RegExp => {
    try {
      return new RegExp(source, 'u');
    } catch (cause) {
      const message = `${what}: when: ${JSON.stringify(source)} is no regular expression`;
      throw new RuntimeError('failed-precondition', message, { cause });
    }
  };
  return {
    annotations: Object.entries(when.annotations ?? {}).map(
      ([key, value]) => [pattern(key), pattern(value)] as const,
    ),
    ...(when.always === undefined ? {} : { always: when.always }),
    ...(when.commands === undefined ? {} : { commands: when.commands.map(pattern) }),
    ...(when.hasBindMounts === undefined ? {} : { hasBindMounts: when.hasBindMounts }),
  };
}

/** Whether all conditions of a hook hold. */
export function hookApplies({ when }: HookFile, subject: HookSubject): boolean {
  const annotations = Object.entries(subject.annotations);
  return (
    when.always !== false &&
    when.annotations.every(([key, value]) =>
      annotations.some(([k, v]) => key.test(k) && value.test(v)),
    ) &&
    (when.commands?.some((command) => command.test(subject.command)) ?? true) &&
    (when.hasBindMounts === undefined || when.hasBindMounts === subject.hasBindMounts)
  );
}

/** A spec with one more hook at each of these stages, behind those that it has. */
export function withHook(spec: OciSpec, stages: readonly HookStage[], hook: OciHook): OciSpec {
  const hooks: OciHooks = { ...spec.hooks };
  for (const stage of stages) {
    hooks[stage] = [...(hooks[stage] ?? []), hook];
  }
  return { ...spec, hooks };
}

/** Without keys that have no value: a runtime may take offence at them. */
export function definite(hook: InferOutput<typeof hookSchema>): OciHook {
  return {
    path: hook.path,
    ...(hook.args === undefined ? {} : { args: hook.args }),
    ...(hook.env === undefined ? {} : { env: hook.env }),
    ...(hook.timeout === undefined ? {} : { timeout: hook.timeout }),
  };
}
