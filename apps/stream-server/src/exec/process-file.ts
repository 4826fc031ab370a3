import { RuntimeError } from '@gantry/errors';

/**
 * The process file of an exec: the container's own process with other
 * arguments and without a terminal. Environment, directory, user,
 * capabilities, labels and limits stay as they are (CRI ExecSync; both peers).
 * Throws `internal` when sandbox-service has handed out something else.
 */
export function processFile(processJson: Uint8Array, args: readonly string[]): string {
  const process = parse(processJson);
  const { consoleSize: _, ...inherited } = process;
  return JSON.stringify({ ...inherited, args, terminal: false });
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
