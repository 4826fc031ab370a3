import { RuntimeError } from '@gantry/errors';

/**
 * The process file of an exec: the container's own process with other
 * arguments. Environment, directory, user, capabilities, labels and limits
 * stay as they are (CRI ExecSync; both peers). With a terminal TERM is xterm
 * unless the container has one. Throws `internal` when sandbox-service has
 * handed out something else.
 */
export function processFile(
  processJson: Uint8Array,
  args: readonly string[],
  terminal = false,
): string {
  const process = parse(processJson);
  const { consoleSize: _, ...inherited } = process;
  const env = terminal ? { env: withTerm(process['env']) } : {};
  return JSON.stringify({ ...inherited, ...env, args, terminal });
}

function withTerm(env: unknown): unknown[] {
  const variables: unknown[] = Array.isArray(env) ? env : [];
  const hasTerm = variables.some((v) => typeof v === 'string' && v.startsWith('TERM='));
  return hasTerm ? variables : [...variables, 'TERM=xterm'];
}

function parse(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new RuntimeError('internal', "the container's process is no JSON", { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RuntimeError('internal', "the container's process is no object");
  }
  return value as Record<string, unknown>;
}
