import type { Duplex } from 'node:stream';
import type { Attached, AttachTarget } from '../ports.ts';
import { AttachedClient, type AttachOutputs } from './attached-client.ts';
import { PacketWriter } from './packet-writer.ts';

// The first byte of conmon's packets (its conn_sock.c and ctr_stdio.c).
const fromStdout = 2;
const fromStderr = 3;

/**
 * One connection to conmon, for all who are attached to a container. It is
 * always read, for conmon waits for whoever does not: those who fall behind are
 * let go instead. It stays as long as somebody is attached, then until there is
 * output that nobody wants: conmon 2.1 keeps a connection that was closed until it
 * writes to it, so that each visit to a silent container would cost it a file.
 * It stays longer where closing it would be the end of the container's input.
 */
export class AttachHub {
  readonly #connection: Duplex;
  readonly #target: AttachTarget;
  readonly #input: PacketWriter;
  readonly #clients = new Set<AttachedClient>();
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>;
  #isOver = false;

  /** `connection` gives a packet with each 'data' event, and half-closes. */
  constructor(connection: Duplex, target: AttachTarget) {
    this.#connection = connection;
    this.#target = target;
    this.#input = new PacketWriter(connection);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    // An error is an end: conmon is gone.
    connection.on('error', () => undefined);
    connection.on('data', (packet: Buffer) => this.#handOut(packet));
    connection.once('end', () => connection.destroy());
    connection.once('close', () => {
      this.#isOver = true;
      for (const client of this.#clients) {
        client.end();
      }
      this.#clients.clear();
      resolve();
    });
  }

  /** Undefined when the connection is over. */
  join(outputs: AttachOutputs): Attached | undefined {
    if (this.#isOver) {
      return undefined;
    }
    const client = new AttachedClient(outputs, {
      write: (chunk) => (this.#target.stdin ? this.#input.write(chunk) : Promise.resolve()),
      endInput: () => this.#endInput(),
      left: () => {
        this.#clients.delete(client);
      },
    });
    this.#clients.add(client);
    return client;
  }

  close(): void {
    this.#connection.destroy();
  }

  #handOut(packet: Buffer): void {
    if (this.#clients.size === 0) {
      this.#closeUnused();
      return;
    }
    const [pipe] = packet;
    const data = packet.subarray(1);
    for (const client of this.#clients) {
      if (pipe === fromStdout) {
        client.take('stdout', data);
      } else if (pipe === fromStderr) {
        client.take('stderr', data);
      }
    }
  }

  /** With stdinOnce the first one's end is that of the container's input; a terminal's has none (containerd, attach). */
  #endInput(): boolean {
    const { stdin, stdinOnce, tty } = this.#target;
    if (!stdin || !stdinOnce || tty) {
      return false;
    }
    this.#input.end();
    return true;
  }

  /** What was typed before still arrives. */
  #closeUnused(): void {
    const { stdin, stdinOnce, tty } = this.#target;
    const wouldEndInput = stdin && stdinOnce && !tty && !this.#input.hasEnded;
    if (wouldEndInput) {
      return;
    }
    void this.#input.write(Buffer.alloc(0)).then(() => {
      if (this.#clients.size === 0) {
        this.close();
      }
    });
  }
}
