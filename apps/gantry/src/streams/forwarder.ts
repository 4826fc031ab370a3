import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { messageOf, RuntimeError } from '@gantry/errors';
import type { PortForwardClient } from '@gantry/remotecommand';
import type { PortPair } from './port-pairs.ts';

export interface ForwarderOptions {
  readonly address: string;
  readonly note: (text: string) => void;
  /** A new connection to the pod; it is asked for again when one is lost. */
  readonly dial: () => Promise<PortForwardClient>;
}

/** Listens on local ports and carries each connection to the pod, over one session for all. */
export class Forwarder implements AsyncDisposable {
  readonly #options: ForwarderOptions;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  #client: Promise<PortForwardClient> | undefined;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /** Dials, so that what is wrong with the pod is told at once. */
  async start(): Promise<void> {
    await this.#session();
  }

  /** Gives the local port. Throws `failed-precondition` when it is taken. */
  async listen({ local, remote }: PortPair): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => this.#sockets.delete(socket));
      void this.#carry(socket, remote);
    });
    server.listen(local, this.#options.address);
    try {
      await once(server, 'listening');
    } catch (cause) {
      throw new RuntimeError(
        'failed-precondition',
        `listen on ${this.#options.address} port ${local}`,
        { cause },
      );
    }
    this.#servers.push(server);
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : local;
  }

  async #carry(socket: Socket, remote: number): Promise<void> {
    const tell = (error: unknown): void => {
      this.#options.note(messageOf(error));
      socket.destroy();
    };
    let connection: Duplex;
    try {
      const client = await this.#session();
      connection = await client.open(remote);
    } catch (error) {
      tell(error);
      return;
    }
    connection.on('error', tell);
    // What went wrong has been told by the connection; a pipe only says that it broke.
    await Promise.all([pipeline(socket, connection), pipeline(connection, socket)]).catch(() => {
      socket.destroy();
    });
  }

  #session(): Promise<PortForwardClient> {
    this.#client ??= this.#dial();
    return this.#client;
  }

  async #dial(): Promise<PortForwardClient> {
    const forget = (): void => {
      this.#client = undefined;
    };
    try {
      const client = await this.#options.dial();
      client.gone.addEventListener('abort', forget, { once: true });
      return client;
    } catch (error) {
      forget();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      server.close();
    }
    for (const socket of this.#sockets) {
      socket.destroy();
    }
    const client = await this.#client?.catch(() => undefined);
    await client?.[Symbol.asyncDispose]();
  }
}
