import {
  array,
  integer,
  minValue,
  number,
  optional,
  pipe,
  regex,
  strictObject,
  string,
} from 'valibot';

/** When a hook runs (OCI runtime spec, config.md: POSIX-platform Hooks). */
export const hookStages = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
] as const;

export type HookStage = (typeof hookStages)[number];

const absolute = pipe(string(), regex(/^\/[^\0]*$/, 'must be an absolute path'));

/** What is run, as the runtime spec has it. */
export const hookSchema = strictObject({
  path: absolute,
  args: optional(array(string())),
  env: optional(array(string())),
  /** In seconds. */
  timeout: optional(pipe(number(), integer(), minValue(1))),
});
