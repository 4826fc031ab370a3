import type { Readable } from 'node:stream';
import { startProcess } from '@gantry/host';

/** What conmon reports through its sync pipe: a pid, or the words of a runtime that failed. */
export type ConmonReport =
  | { readonly pid: number }
  | { readonly failure: string /* empty when it said nothing */ };

export interface SpawnConmonOptions {
  readonly path: string;
  readonly args: readonly string[];
  readonly bundleDir: string;
  readonly tty: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** The descriptor on which conmon reports. */
const syncPipe = 3;
const maxReportBytes = 64 << 10;

/**
 * Starts conmon and waits until the runtime has created the container or has failed. Conmon runs in
 * a session of its own with a bare environment and none of our descriptors, so it stays when this
 * process goes, however it goes. On abort the promise rejects with the signal's reason as soon as
 * conmon has written its pid file; the caller ends conmon by that.
 */
export async function spawnConmon(options: SpawnConmonOptions): Promise<ConmonReport> {
  options.signal?.throwIfAborted();
  const child = startProcess(options.path, options.args, {
    // The working directory is where conmon leaves its `oom` mark.
    cwd: options.bundleDir,
    env: environment(options.tty),
    leads: 'session',
    stdio: ['null', 'null', 'output', 'output'],
  });
  const [errors, pipe] = [child.output(2), child.output(syncPipe)];
  const stderr = readAll(errors);
  const line = readLine(pipe, options.signal);
  line.catch(() => undefined);
  try {
    // The first process only forks the real conmon and writes its pid file.
    await child.exited;
    const report = await line;
    return report === undefined ? { failure: await stderr } : parseReport(report);
  } finally {
    pipe.destroy();
    errors.destroy();
  }
}

/**
 * Neither credentials nor trace or notify variables reach conmon and the runtime. The console
 * socket of a tty goes to TMPDIR: by way of the working directory, which is the bundle for conmon
 * and the runtime alike, its path is short whatever the bundle's is.
 */
function environment(tty: boolean): Record<string, string> {
  const path = process.env['PATH'] ?? '';
  return {
    PATH: `${path}${path === '' ? '' : ':'}/usr/sbin:/usr/bin:/sbin:/bin`,
    _OCI_SYNCPIPE: String(syncPipe),
    ...(process.env['TZ'] === undefined ? {} : { TZ: process.env['TZ'] }),
    ...(tty ? { TMPDIR: '/proc/self/cwd' } : {}),
  };
}

/** The first line of `pipe`; undefined when it ends without one. Conmon keeps its end open. */
function readLine(pipe: Readable, signal?: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    let text = '';
    pipe.setEncoding('utf8');
    pipe.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end >= 0 || text.length > maxReportBytes) {
        resolve(end >= 0 ? text.slice(0, end) : text);
      }
    });
    pipe.once('error', reject);
    pipe.once('close', () => resolve(text === '' ? undefined : text));
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

/** What `stream` says until it ends or is destroyed; never rejects. */
function readAll(stream: Readable): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      text = (text + chunk).slice(0, maxReportBytes);
    });
    stream.once('error', () => resolve(text));
    stream.once('close', () => resolve(text));
  });
}

/** `{"data": pid}` or `{"data": -1, "message": "..."}`; old conmons write `pid` for `data`. */
export function parseReport(line: string): ConmonReport {
  const pid = /^\s*\{"(?:data|pid)": *(-?\d+)/.exec(line)?.[1];
  if (pid !== undefined && Number(pid) > 0) {
    return { pid: Number(pid) };
  }
  try {
    const report: unknown = JSON.parse(line);
    if (typeof report === 'object' && report !== null && 'message' in report) {
      return { failure: String(report.message) };
    }
    return { failure: '' };
  } catch {
    // Conmon does not escape every byte, so its JSON may not parse; the words are there all the same.
    return { failure: /"message": *"(.*)"/s.exec(line)?.[1] ?? line };
  }
}
