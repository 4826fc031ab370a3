import type { Socket } from 'node:net';

/** Connections that have not asked for a stream yet: of too many, the oldest goes. */
export class WaitingSockets {
  readonly #sockets = new Set<Socket>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  add(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    if (this.#sockets.size > this.#max) {
      const [oldest] = this.#sockets;
      oldest?.destroy();
      this.#sockets.delete(oldest ?? socket);
    }
  }

  /** It has asked. */
  delete(socket: Socket): void {
    this.#sockets.delete(socket);
  }
}
