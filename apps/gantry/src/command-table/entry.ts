import type { CommandFunction } from '../invocation.ts';

/** Flags, what they do, and a default. */
export type Option = readonly [string, string, string?];

/** One command of the command line. */
export interface CommandEntry {
  /** With the names of its groups before it: `image import`. */
  readonly name: string;
  readonly about: string;
  /** Positional arguments in commander's notation, and what they are. */
  readonly args?: string;
  readonly argsAbout?: Readonly<Record<string, string>>;
  readonly options?: readonly Option[];
  /** Whole command lines, without the `gantry` before them. */
  readonly examples?: readonly string[];
  readonly hidden?: boolean;
  /** Options after the first argument belong to that, as in `exec ID ls -l`. */
  readonly passThrough?: boolean;
  readonly load: () => Promise<CommandFunction>;
}

/** Of a command that has a table for people. */
export const output: Option = ['-o, --output <format>', 'table (the default), json or yaml'];
/** Of a command that shows an object with all its fields. */
export const document: Option = ['-o, --output <format>', 'json (the default) or yaml'];
export const transport: Option = ['--transport <name>', 'spdy (the default) or websocket'];
export const quiet: Option = ['-q, --quiet', 'only ids'];
/** May be given more than once. */
export const label: Option = ['--label <key=value...>', 'only those with this label'];
export const listing: readonly Option[] = [label, quiet, output];

const byId = 'its name, its id, or the beginning of one';
export const pod = { pod: byId };
export const pods = { pods: byId };
export const container = { container: byId };
export const containers = { containers: byId };
