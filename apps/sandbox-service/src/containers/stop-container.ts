import type { PodLock } from '../pods/pod-lock.ts';
import type { CallOptions, Runtime } from '../ports.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { ContainerEnd } from './container-end.ts';

export interface StopContainerDeps {
  readonly records: Records;
  readonly podLock: PodLock;
  readonly runtime: Pick<Runtime, 'signal'>;
  readonly containerEnd: ContainerEnd;
}

const sigterm = 15;
const longestGraceMs = 2 ** 31 - 1;

/**
 * Stops containers. The stop signal is sent once, by the first call; each call
 * then waits for its own grace, so that the shortest one wins, and kills what
 * is left. A caller that leaves during the grace kills nothing.
 *
 *   running ──stop signal──▶ grace ──exit──▶ exited
 *                              └──over──▶ kill ──▶ exited
 */
export class ContainerStops {
  readonly #deps: StopContainerDeps;
  // Calls that are about to send the signal, in this instance.
  readonly #signalling = new Set<string>();

  constructor(deps: StopContainerDeps) {
    this.#deps = deps;
  }

  /** `graceMs` 0 kills at once. A container that is gone, or does not run, is a success. */
  async stop(id: string, graceMs: number, { signal }: CallOptions = {}): Promise<void> {
    const container = this.#deps.records.containers.find(id);
    if (container?.phase !== 'running') {
      return;
    }
    if (graceMs > 0) {
      await this.#signalOnce(container);
      if (await this.#exitsWithin(id, graceMs, signal)) {
        return;
      }
    }
    await this.#kill(id);
  }

  async #signalOnce(container: Container): Promise<void> {
    const { id, facts } = container;
    if (facts.stopSignaled === true || facts.init === undefined || this.#signalling.has(id)) {
      return;
    }
    this.#signalling.add(id);
    try {
      await this.#deps.runtime.signal(facts.init, facts.stopSignal ?? sigterm);
      // Not under the lock of the pod, which may be busy for long: the record
      // may have changed, and an update writes all facts.
      this.#deps.records.commit(() => {
        if (this.#deps.records.containers.find(id)?.phase === 'running') {
          this.#deps.records.containers.update(id, { facts: { stopSignaled: true } });
        }
      });
    } finally {
      this.#signalling.delete(id);
    }
  }

  /** False when the grace is over; rejects when the caller leaves. */
  async #exitsWithin(
    id: string,
    graceMs: number,
    caller: AbortSignal | undefined,
  ): Promise<boolean> {
    const over = new AbortController();
    const timer = setTimeout(
      () => {
        over.abort();
      },
      Math.min(graceMs, longestGraceMs),
    );
    const signals = caller === undefined ? [over.signal] : [over.signal, caller];
    try {
      await this.#deps.containerEnd.waitForExit(id, AbortSignal.any(signals));
      return true;
    } catch (error) {
      if (over.signal.aborted && caller?.aborted !== true) {
        return false;
      }
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async #kill(id: string): Promise<void> {
    const { records, containerEnd } = this.#deps;
    const container = records.containers.find(id);
    if (container?.phase !== 'running') {
      return;
    }
    // The watch for exits sees the exit too; whoever is first writes it down.
    const done = new AbortController();
    try {
      await Promise.race([
        containerEnd.waitForExit(id, done.signal),
        this.#killAndRecord(container, done.signal),
      ]);
    } catch (error) {
      this.#noteFailure(container, error);
      throw error;
    } finally {
      done.abort();
    }
  }

  /** A stop leaves nothing to be repaired, so only a failure is written down: for those who ask why. */
  #noteFailure({ id, sandboxId }: Container, error: unknown): void {
    const { records } = this.#deps;
    const { journal } = records;
    try {
      records.commit(() => {
        journal.end(journal.begin('stop-container', id, sandboxId), 'failed', error);
      });
    } catch {
      // The caller gets what failed first.
    }
  }

  async #killAndRecord(container: Container, signal: AbortSignal): Promise<void> {
    const { records, podLock, containerEnd } = this.#deps;
    const { id, sandboxId } = container;
    // Before the lock: whatever else goes on in the pod must not delay it.
    await containerEnd.killProcesses(container);
    const record = async (): Promise<void> => {
      const now = records.containers.find(id);
      if (now?.phase === 'running') {
        await containerEnd.recordExit(now, { killed: true });
      }
    };
    await podLock.run(sandboxId, record, { signal });
  }
}
