import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { Socket } from 'node:net';
import { messageOf, RuntimeError } from '@gantry/errors';
import { type IpFamily, type NetnsSockets, startNetnsSockets } from '@gantry/host';
import type { Dialer, PodTarget } from '../ports.ts';

const addresses: readonly (readonly [IpFamily, string])[] = [
  ['ipv4', '127.0.0.1'],
  ['ipv6', '::1'],
];

/** Connects to ports of pods with sockets that were made in their network namespaces: no process for each. */
export class PodDialer implements Dialer {
  readonly #sockets: NetnsSockets = startNetnsSockets();

  async dial({ podSandboxId, netnsPath }: PodTarget, port: number): Promise<Socket> {
    if (netnsPath !== '' && !existsSync(netnsPath)) {
      throw new RuntimeError(
        'failed-precondition',
        `connect to localhost:${String(port)} in pod ${podSandboxId}: the pod was stopped`,
      );
    }
    const reasons: string[] = [];
    for (const [family, host] of addresses) {
      try {
        return await this.#connect(netnsPath, family, { host, port });
      } catch (error) {
        reasons.push(messageOf(error));
      }
    }
    throw new RuntimeError(
      'unavailable',
      `connect to localhost:${String(port)} in pod ${podSandboxId}: ${reasons.join('; ')}`,
    );
  }

  async #connect(
    netnsPath: string,
    family: IpFamily,
    to: { readonly host: string; readonly port: number },
  ): Promise<Socket> {
    const socket =
      netnsPath === ''
        ? new Socket({ allowHalfOpen: true })
        : new Socket({ fd: await this.#sockets.open(netnsPath, family), allowHalfOpen: true });
    try {
      // In the same turn as the making: before the loop looks at a socket that is not connected.
      socket.connect(to);
      await once(socket, 'connect');
    } catch (error) {
      socket.destroy();
      throw error;
    }
    socket.setNoDelay(true);
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sockets[Symbol.asyncDispose]();
  }
}
