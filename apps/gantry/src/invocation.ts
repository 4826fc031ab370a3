import type { Config } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';

/** What a command is given: the words of its command line, and where it writes. */
export interface Invocation {
  /** The positional arguments, as many as the command table asks for. */
  readonly args: readonly string[];
  /** The options by their camel-case names. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The absolute path given with --config; undefined means the default file. */
  readonly configFile: string | undefined;
  /** Reads and checks the config file, once. */
  readonly config: () => Config;
  readonly out: (text: string) => void;
  /** For people: progress and notes, kept out of what a script reads. */
  readonly note: (text: string) => void;
  /** Aborts at the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
}

/** Runs a command. What it returns is the exit code; nothing means 0. */
// biome-ignore lint/suspicious/noConfusingVoidType: most commands return nothing at all.
export type CommandFunction = (invocation: Invocation) => Promise<number | void>;

/** An argument that the command table promises. */
export function argument(invocation: Invocation, index: number): string {
  const value = invocation.args[index];
  if (value === undefined) {
    throw new RuntimeError('invalid-argument', `argument ${index + 1} is missing`);
  }
  return value;
}

export function flag(invocation: Invocation, name: string): boolean {
  return invocation.options[name] === true;
}

/** The value of an option; undefined when it was not given. */
export function option(invocation: Invocation, name: string): string | undefined {
  const value = invocation.options[name];
  return typeof value === 'string' ? value : undefined;
}

/** The value of an option that is a whole number from `least` on. */
export function numberOption(invocation: Invocation, name: string, least = 0): number | undefined {
  const text = option(invocation, name);
  if (text === undefined) {
    return undefined;
  }
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least || !/^-?\d+$/.test(text)) {
    throw new RuntimeError(
      'invalid-argument',
      `--${name} ${text}: must be a whole number from ${least} on`,
    );
  }
  return value;
}

/** How a person names this stack on the next command line. */
export function ownCommand(configFile: string | undefined): string {
  return configFile === undefined ? './gantry' : `./gantry --config ${configFile}`;
}

/** Refuses to go on without root, and says how to get it. */
export function requireRoot(what: string): void {
  if (process.getuid?.() !== 0) {
    throw new RuntimeError(
      'permission-denied',
      `${what}: it must be root. Run it again with sudo: sudo ./gantry ${what}`,
    );
  }
}
