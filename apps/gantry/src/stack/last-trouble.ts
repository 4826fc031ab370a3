import { open } from 'node:fs/promises';
import { hasCode } from '@gantry/host';

const tailBytes = 32 * 1024;

/** As createLogger of @gantry/telemetry has it. */
interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly msg: string;
  readonly err?: { readonly message?: string };
}

/**
 * The last complaint in a log after its byte `from`, and not older than `sinceMs` where lines have a time: of a service or the supervisor (JSON lines) the last
 * line of level error or fatal, of anything else the last line that begins with "gantry:" or
 * tells of an error. Undefined when there is none, or no such file.
 */
export async function lastTrouble(
  file: string,
  sinceMs: number,
  from = 0,
): Promise<string | undefined> {
  const lines = (await readTail(file, from)).trimEnd().split('\n').reverse();
  for (const line of lines) {
    const trouble = line.startsWith('{') ? fromLog(line, sinceMs) : fromPlain(line);
    if (trouble !== undefined) {
      return trouble;
    }
  }
  return undefined;
}

function fromLog(line: string, sinceMs: number): string | undefined {
  let entry: LogLine;
  try {
    entry = JSON.parse(line) as LogLine;
  } catch {
    return undefined; // The first line of the tail may be cut.
  }
  if (!/^(error|fatal)$/.test(entry.level) || Date.parse(entry.time) < sinceMs) {
    return undefined;
  }
  const detail = entry.err?.message;
  return detail === undefined || entry.msg.includes(detail) ? entry.msg : `${entry.msg}: ${detail}`;
}

function fromPlain(line: string): string | undefined {
  return /^gantry: |\[(FTL|ERR)\]|^\w*Error\b/.test(line)
    ? line.replace(/^\[\d+\] \S+ \S+ /, '').trim()
    : undefined;
}

async function readTail(path: string, least: number): Promise<string> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    const from = Math.max(least, size - tailBytes);
    if (from >= size) {
      return '';
    }
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    return buffer.toString('utf8', 0, bytesRead);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      return '';
    }
    throw error;
  }
}
