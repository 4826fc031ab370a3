import { type ChildProcess, spawn } from 'node:child_process';
import { env } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '@gantry/errors';
import { identifyProcess } from '@gantry/host';
import type { ChildPlan } from './child-plan.ts';
import { endProcess } from './end-process.ts';
import { closeLog, openLog } from './log-file.ts';
import type { Report } from './report.ts';
import type { ChildState } from './stack-state.ts';

/** How fast a process that dies is started again. */
export interface BackOff {
  readonly firstMs: number;
  readonly maxMs: number;
  /** A run that lasted so long counts as a success: the next start comes after `firstMs`. */
  readonly settledMs: number;
}

export const usualBackOff: BackOff = { firstMs: 100, maxMs: 3000, settledMs: 1000 };

/** How long a service may take to drain its requests before it is killed: longer than its own limit. */
const graceMs = 22_000;

export interface KeptProcess extends AsyncDisposable {
  readonly state: ChildState;
}

export interface KeepOptions {
  readonly logFile: string;
  readonly onChange: () => void;
  readonly report: Report;
  readonly backOff?: BackOff;
}

/**
 * Starts a process and starts it again whenever it ends, until disposed of: then it is told to
 * stop (SIGTERM, after 22 s SIGKILL) and gone when that resolves. Its output goes to the log file
 * directly. It gets a process group of its own: Ctrl-C is for the supervisor alone.
 */
export function keepRunning(plan: ChildPlan, options: KeepOptions): KeptProcess {
  const stopping = new AbortController();
  const kept = new Kept(plan, options, stopping.signal);
  const ended = kept.run();
  return {
    get state() {
      return kept.state;
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await kept.end();
      await ended;
    },
  };
}

class Kept {
  readonly #plan: ChildPlan;
  readonly #options: KeepOptions;
  readonly #stop: AbortSignal;
  #state: ChildState;

  constructor(plan: ChildPlan, options: KeepOptions, stop: AbortSignal) {
    this.#plan = plan;
    this.#options = options;
    this.#stop = stop;
    this.#state = { name: plan.name, starts: 0 };
  }

  get state(): ChildState {
    return this.#state;
  }

  async run(): Promise<void> {
    const { firstMs, maxMs, settledMs } = this.#options.backOff ?? usualBackOff;
    let pauseMs = firstMs;
    for (;;) {
      const startedMs = performance.now();
      const lastExit = await this.#runOnce();
      if (this.#stop.aborted) {
        return;
      }
      pauseMs = performance.now() - startedMs >= settledMs ? firstMs : pauseMs;
      this.#set({ name: this.#plan.name, starts: this.#state.starts, lastExit });
      this.#options.report('warn', `${this.#plan.name} ended: ${lastExit}; again in ${pauseMs} ms`);
      try {
        await sleep(pauseMs, undefined, { signal: this.#stop });
      } catch {
        return; // Told to stop while it waited.
      }
      pauseMs = Math.min(pauseMs * 2, maxMs);
    }
  }

  /** Ends the process that runs now, if any. */
  async end(): Promise<void> {
    if (this.#state.process !== undefined) {
      await endProcess(this.#state.process, graceMs);
    }
  }

  async #runOnce(): Promise<string> {
    let child: ChildProcess;
    try {
      child = await this.#spawn();
    } catch (error) {
      return messageOf(error);
    }
    const ended = endOf(child);
    const identity = child.pid === undefined ? undefined : await identifyProcess(child.pid);
    this.#set({
      ...this.#state,
      starts: this.#state.starts + 1,
      ...(identity === undefined ? {} : { process: identity }),
    });
    this.#options.report('info', `${this.#plan.name} started: pid ${child.pid}`);
    if (this.#stop.aborted) {
      await this.end(); // It was being started when we were told to stop.
    }
    return ended;
  }

  async #spawn(): Promise<ChildProcess> {
    const log = await openLog(this.#options.logFile);
    try {
      return spawn(this.#plan.command, this.#plan.args, {
        stdio: ['ignore', log, log],
        detached: true,
        cwd: '/',
        env: { ...this.#plan.env, ...env },
      });
    } finally {
      closeLog(log);
    }
  }

  #set(state: ChildState): void {
    this.#state = state;
    this.#options.onChange();
  }
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      resolve(messageOf(error));
    });
    child.once('exit', (code, signal) => {
      resolve(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
  });
}
