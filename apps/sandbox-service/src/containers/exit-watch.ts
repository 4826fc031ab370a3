import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, outsideTrace } from '@gantry/telemetry';
import type { PodLock } from '../pods/pod-lock.ts';
import type { ContainerExit, Processes, ProcessId } from '../ports.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { ContainerEnd } from './container-end.ts';

interface Deps {
  readonly records: Records;
  readonly processes: Pick<Processes, 'isRunning' | 'waitForExit'>;
  readonly podLock: PodLock;
  readonly containerEnd: ContainerEnd;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Gives up watching and trying. */
  readonly signal: AbortSignal;
}

const answerMs = 2;
const firstRetryMs = 500;
const longestRetryMs = 30_000;

/**
 * Writes down how containers end. Every instance of this service is told of
 * every exit; under the lock of the pod the first one writes it down, and the
 * others find it done.
 */
export class ExitWatch {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** To be called when the exit record of a container, or of a pause container, has appeared. */
  readonly onExit = (id: string): void => {
    // The request that started it has been answered.
    outsideTrace(() => this.#handle(id)).catch(() => undefined);
  };

  /** Watches the process that would write the exit record: should it be killed, nothing else would tell. */
  watchMonitor(id: string, monitor: ProcessId | undefined): void {
    const { processes, signal } = this.#deps;
    if (monitor !== undefined && !signal.aborted) {
      processes.waitForExit(monitor, { signal }).then(
        () => {
          this.onExit(id);
        },
        () => undefined,
      );
    }
  }

  /** Watches the monitors of all that runs by the records. */
  watchMonitors(): void {
    const { records } = this.#deps;
    for (const container of records.containers.list()) {
      if (container.phase === 'running') {
        this.watchMonitor(container.id, container.facts.monitor);
      }
    }
    for (const sandbox of records.sandboxes.list()) {
      if (sandbox.phase === 'ready') {
        this.watchMonitor(sandbox.id, sandbox.facts.pause?.monitor);
      }
    }
  }

  async #handle(id: string): Promise<void> {
    const { log, signal } = this.#deps;
    for (let pauseMs = firstRetryMs; !signal.aborted; pauseMs *= 2) {
      try {
        await this.#settle(id);
        return;
      } catch (err) {
        log.warn({ err, id }, 'record an exit: will try again');
      }
      await sleep(Math.min(pauseMs, longestRetryMs), undefined, { signal, ref: false });
    }
  }

  async #settle(id: string): Promise<void> {
    const { records, podLock, containerEnd } = this.#deps;
    const container = records.containers.find(id);
    if (container !== undefined) {
      // One that is being started may have exited before its start is written down.
      if (container.phase !== 'exited' || container.facts.inRuntime === true) {
        await podLock.run(container.sandboxId, () => this.#recordExit(id));
      }
      containerEnd.tell(id);
      await this.#deleteLater(container);
      return;
    }
    const phase = records.sandboxes.find(id)?.phase;
    if (phase === 'ready' || phase === 'creating') {
      await podLock.run(id, () => this.#settlePause(id));
    }
  }

  async #recordExit(id: string): Promise<void> {
    const { records, containerEnd, log } = this.#deps;
    const container = records.containers.find(id);
    if (container?.phase !== 'running') {
      return;
    }
    const { exit, isRumour } = await this.#lookAt(id, container.facts.monitor);
    if (isRumour) {
      return;
    }
    if (exit === undefined) {
      log.warn({ container: id }, 'its conmon is gone without a word: ending the container');
      await containerEnd.killProcesses(container);
    }
    await containerEnd.recordExit(container, { killed: false, ...(exit && { exit }) });
  }

  /**
   * How it ended. A rumour is what has neither left a record nor lost its
   * monitor: the last word of an earlier start that was cut off.
   */
  async #lookAt(
    id: string,
    monitor: ProcessId | undefined,
  ): Promise<{ readonly exit?: ContainerExit | undefined; readonly isRumour: boolean }> {
    const { containerEnd, processes } = this.#deps;
    const exit = await containerEnd.exitOf(id);
    if (exit !== undefined) {
      return { exit, isRumour: false };
    }
    if (monitor !== undefined && (await processes.isRunning(monitor))) {
      return { isRumour: true };
    }
    // It may have written its last word between the two looks.
    return { exit: await containerEnd.exitOf(id), isRumour: false };
  }

  /** To start a command blocks this process for milliseconds: those who wait for the exit are answered before. */
  async #deleteLater({ id, sandboxId }: Container): Promise<void> {
    const { records, podLock, containerEnd, signal } = this.#deps;
    await sleep(answerMs, undefined, { signal, ref: false }).catch(() => undefined);
    if (!signal.aborted && records.containers.find(id)?.facts.inRuntime === true) {
      await podLock.run(sandboxId, async () => {
        const now = records.containers.find(id);
        if (now?.phase === 'exited') {
          await containerEnd.deleteFromRuntime(now);
        }
      });
    }
  }

  async #settlePause(id: string): Promise<void> {
    const { records, log } = this.#deps;
    const sandbox = records.sandboxes.find(id);
    if (sandbox?.phase !== 'ready') {
      return;
    }
    const { isRumour } = await this.#lookAt(id, sandbox.facts.pause?.monitor);
    if (!isRumour) {
      records.sandboxes.update(id, { phase: 'notready' });
      log.info({ sandbox: id }, 'pause container has exited: sandbox is not ready');
    }
  }
}
