import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from '@gantry/telemetry';
import type { Handlers } from '../handlers.ts';
import { InParallel } from '../in-parallel.ts';
import type { Plugins } from '../nri/plugins.ts';
import type { Paths } from '../paths.ts';
import type { Clock, ContainerExit, Runtime } from '../ports.ts';
import { containerFields } from '../rpc/log-life.ts';
import type { Container, ContainerFacts } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';

interface Deps {
  readonly records: Records;
  readonly paths: Paths;
  readonly runtime: Runtime;
  readonly handlers: Handlers;
  readonly clock: Clock;
  readonly plugins: Pick<Plugins, 'exited'>;
  readonly log: Pick<Logger, 'info'>;
}

const killedCode = 137;
const lostCode = 255;
const lookAgainMs = 500;

/**
 * How containers end: one place that kills, that records an exit once, and
 * that tells those who wait for it. What writes records is called with the lock
 * of the pod held.
 */
export class ContainerEnd {
  readonly #deps: Deps;
  readonly #recording = new InParallel(1);
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Kills every process of a running container and records its exit. */
  async kill(container: Container): Promise<void> {
    await this.killProcesses(container);
    // Those of a pod end together: others get a word in between one record, which is synced, and the next.
    await this.#recording.run(async () => {
      await nextTurn();
      await this.recordExit(container, { killed: true });
    });
  }

  /** Kills every process of a container; needs no lock, and records nothing. */
  async killProcesses(container: Container): Promise<void> {
    const { runtime, handlers } = this.#deps;
    const { init, monitor, handler } = container.facts;
    await runtime.killAll(handlers.forTeardown(handler), container.id, init, monitor);
  }

  /**
   * Records how a running container ended, from what conmon wrote down. Where
   * nothing is written: 137 when we have just killed it, else 255 Unknown.
   */
  async recordExit(
    container: Container,
    how: { readonly killed: boolean; readonly exit?: ContainerExit },
  ): Promise<void> {
    const { records, clock } = this.#deps;
    const exit = how.exit ?? (await this.exitOf(container.id));
    const facts = exit === undefined ? lostFacts(how.killed, clock()) : exitFacts(exit);
    const { createdAtNanos, startedAtNanos = 0n } = container.facts;
    // The clock may have been set back in between.
    const earliest = max(createdAtNanos, startedAtNanos);
    const finishedAtNanos = max(facts.finishedAtNanos ?? 0n, earliest);
    records.containers.update(container.id, {
      phase: 'exited',
      facts: { ...facts, finishedAtNanos },
    });
    const { exitCode: exit_code, reason } = facts;
    this.#deps.log.info(
      { ...containerFields(container), exit_code, reason },
      'the container has ended',
    );
    this.tell(container.id);
    this.#deps.plugins.exited(container.id);
  }

  /** What conmon wrote down of the end of a container, or of a pause container; undefined where it has not. */
  exitOf(id: string): Promise<ContainerExit | undefined> {
    const { paths, runtime } = this.#deps;
    return runtime.exitOf(id, paths.bundle(id));
  }

  /** Has the runtime forget an exited container, and its cgroup go. Once only. */
  async deleteFromRuntime(container: Container): Promise<void> {
    const { records, runtime, handlers } = this.#deps;
    if (container.facts.inRuntime === true) {
      await runtime.delete(handlers.forTeardown(container.facts.handler), container.id);
      records.containers.update(container.id, { facts: { inRuntime: false } });
    }
  }

  /** Resolves when the exit of a container has been recorded, or it is gone; rejects on abort. */
  waitForExit(id: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(id) ?? new Set();
      const leave = () => {
        clearInterval(timer);
        signal.removeEventListener('abort', onAbort);
        waiting.delete(settle);
        if (waiting.size === 0) {
          this.#waiting.delete(id);
        }
      };
      const settle = () => {
        leave();
        resolve();
      };
      const onAbort = () => {
        leave();
        reject(signal.reason as Error);
      };
      // Another instance may have written it down and cleared it away before we were told.
      const timer = setInterval(() => {
        try {
          if (this.#isOver(id)) {
            settle();
          }
        } catch (error) {
          leave();
          reject(error as Error);
        }
      }, lookAgainMs);
      timer.unref();
      this.#waiting.set(id, waiting);
      waiting.add(settle);
      signal.addEventListener('abort', onAbort, { once: true });
      if (this.#isOver(id)) {
        settle();
      } else if (signal.aborted) {
        onAbort();
      }
    });
  }

  #isOver(id: string): boolean {
    const phase = this.#deps.records.containers.find(id)?.phase;
    return phase === undefined || phase === 'exited';
  }

  /** Wakes those who wait for a container whose exit has been recorded, here or by another instance. */
  tell(id: string): void {
    for (const settle of this.#waiting.get(id) ?? []) {
      settle();
    }
  }
}

function exitFacts(exit: ContainerExit): Partial<ContainerFacts> {
  const { exitCode, finishedAtNanos, oomKilled } = exit;
  const ordinary = exitCode === 0 ? 'Completed' : 'Error';
  return { exitCode, finishedAtNanos, reason: oomKilled ? 'OOMKilled' : ordinary };
}

function lostFacts(killed: boolean, finishedAtNanos: bigint): Partial<ContainerFacts> {
  return killed
    ? { exitCode: killedCode, finishedAtNanos, reason: 'Error' }
    : {
        exitCode: lostCode,
        finishedAtNanos,
        reason: 'Unknown',
        message: 'the container ended while nobody watched: its exit status is lost',
      };
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
