import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { RuntimeError } from '@gantry/errors';
import { connectSeqpacket, hasCode } from '@gantry/host';
import { AttachHub } from '../attach/attach-hub.ts';
import type { Attached, Attacher, AttachTarget } from '../ports.ts';

/** Conmon takes no larger sizes. */
const maxCells = 1000;

/**
 * Attaches through conmon's socket. All who are attached to one container share
 * one connection: conmon waits for each of its clients, and with stdinOnce the
 * first that leaves would end the container's input.
 */
export class ConmonAttacher implements Attacher {
  readonly #hubs = new Map<string, Promise<AttachHub>>();

  async attach(
    target: AttachTarget,
    outputs: Parameters<Attacher['attach']>[1],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<Attached> {
    for (;;) {
      signal.throwIfAborted();
      const hub = await this.#hubOf(target);
      const attached = hub.join(outputs);
      if (attached !== undefined) {
        return attached;
      }
      // It ended between the two lines: another connection, or an error that says why not.
      this.#hubs.delete(target.containerId);
    }
  }

  #hubOf(target: AttachTarget): Promise<AttachHub> {
    const { containerId } = target;
    let hub = this.#hubs.get(containerId);
    if (hub === undefined) {
      hub = open(target);
      this.#hubs.set(containerId, hub);
      const forget = (): void => {
        if (this.#hubs.get(containerId) === hub) {
          this.#hubs.delete(containerId);
        }
      };
      hub.then((opened) => opened.closed.then(forget), forget);
    }
    return hub;
  }

  resize({ containerId, controlFifo }: AttachTarget, rows: number, columns: number): void {
    const [height, width] = [Math.min(rows, maxCells), Math.min(columns, maxCells)];
    let fd: number;
    try {
      fd = openSync(controlFifo, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (cause) {
      if (hasCode(cause, 'ENXIO', 'ENOENT')) {
        // Conmon has ended: so has the terminal.
        return;
      }
      throw new RuntimeError('internal', `resize the terminal of container ${containerId}`, {
        cause,
      });
    }
    try {
      writeSync(fd, `1 ${String(height)} ${String(width)}\n`);
    } finally {
      closeSync(fd);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const hubs = await Promise.allSettled(this.#hubs.values());
    for (const hub of hubs) {
      if (hub.status === 'fulfilled') {
        hub.value.close();
      }
    }
  }
}

async function open(target: AttachTarget): Promise<AttachHub> {
  const doing = `attach to container ${target.containerId}`;
  try {
    return new AttachHub(await connectSeqpacket(target.attachSocket), target);
  } catch (cause) {
    if (hasCode(cause, 'ENOENT', 'ECONNREFUSED')) {
      throw new RuntimeError('failed-precondition', `${doing}: it has ended`, { cause });
    }
    throw new RuntimeError('internal', doing, { cause });
  }
}
