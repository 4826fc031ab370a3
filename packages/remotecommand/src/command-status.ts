import { RuntimeError } from '@gantry/errors';
import type { CommandStatus } from './session.ts';

/** Versions from v4 on tell a `metav1.Status` in JSON; those before only a text, and only of a failure. */
function isStructured(protocol: string): boolean {
  return /^v[45]\./.test(protocol);
}

/** What the error stream has to carry for `status`; empty for nothing. */
export function encodeStatus(protocol: string, status: CommandStatus): string {
  if ('success' in status || ('exitCode' in status && status.exitCode === 0)) {
    return isStructured(protocol) ? '{"metadata":{},"status":"Success"}' : '';
  }
  if ('exitCode' in status) {
    const message = `command terminated with non-zero exit code: exit code ${status.exitCode}`;
    return isStructured(protocol)
      ? JSON.stringify({
          metadata: {},
          status: 'Failure',
          message,
          reason: 'NonZeroExitCode',
          details: { causes: [{ reason: 'ExitCode', message: String(status.exitCode) }] },
        })
      : message;
  }
  const message = `Internal error occurred: ${status.error}`;
  return isStructured(protocol)
    ? JSON.stringify({
        metadata: {},
        status: 'Failure',
        message,
        reason: 'InternalError',
        details: { causes: [{ message: status.error }] },
        code: 500,
      })
    : message;
}

function decodeStatus(protocol: string, text: string): CommandStatus | undefined {
  if (!isStructured(protocol)) {
    return text === '' ? { success: true } : { error: text };
  }
  if (text === '') {
    return undefined;
  }
  let status: unknown;
  try {
    status = JSON.parse(text);
  } catch {
    return { error: text };
  }
  if (field(status, 'status') === 'Success') {
    return { success: true };
  }
  const exitCode = exitCodeIn(status);
  if (exitCode !== undefined) {
    return { exitCode };
  }
  const message = field(status, 'message');
  return { error: typeof message === 'string' && message !== '' ? message : text };
}

/** The status in all that the error stream carried. Throws `unavailable` when the connection ended without the status that the version demands. */
export function statusIn(protocol: string, words: string): CommandStatus {
  const status = decodeStatus(protocol, words);
  if (status === undefined) {
    throw new RuntimeError('unavailable', 'the server ended the session without a status');
  }
  return status;
}

function exitCodeIn(status: unknown): number | undefined {
  const causes = field(field(status, 'details'), 'causes');
  if (field(status, 'reason') !== 'NonZeroExitCode' || !Array.isArray(causes)) {
    return undefined;
  }
  const cause = causes.find((c: unknown) => field(c, 'reason') === 'ExitCode') as unknown;
  const code = Number(field(cause, 'message'));
  return Number.isInteger(code) && code >= 0 && code <= 255 ? code : undefined;
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
