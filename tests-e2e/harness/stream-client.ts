import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import {
  type CommandStatus,
  dialRemoteCommand,
  type RemoteCommandClient,
} from '@gantry/remotecommand';
import type { Stack } from './stack.ts';

/** A way to speak to the stream server: a transport, and the one protocol that is offered. */
export interface Wire {
  readonly name: string;
  readonly transport: 'spdy' | 'websocket';
  readonly protocols: readonly string[];
  /** The client can end the command's input and stay. */
  readonly halfClose: boolean;
  /** An exit code is told apart from other failures. */
  readonly tellsCode: boolean;
  /** Window sizes can be told. */
  readonly resizes: boolean;
}

const spdy = (version: string, more: Partial<Wire> = {}): Wire => ({
  name: `SPDY ${version}`,
  transport: 'spdy',
  protocols: [version],
  halfClose: true,
  tellsCode: true,
  resizes: true,
  ...more,
});
const webSocket = (protocol: string, more: Partial<Wire> = {}): Wire => ({
  name: `WebSocket ${protocol === '' ? 'unnamed' : protocol}`,
  transport: 'websocket',
  protocols: [protocol],
  halfClose: false,
  tellsCode: true,
  resizes: true,
  ...more,
});

/** Every protocol of exec and attach. */
export const commandWires: readonly Wire[] = [
  spdy('v5.channel.k8s.io'),
  spdy('v4.channel.k8s.io'),
  spdy('v3.channel.k8s.io', { tellsCode: false }),
  spdy('v2.channel.k8s.io', { tellsCode: false, resizes: false }),
  spdy('channel.k8s.io', { tellsCode: false, resizes: false }),
  webSocket('v5.channel.k8s.io', { halfClose: true }),
  webSocket('v4.channel.k8s.io'),
  webSocket('v4.base64.channel.k8s.io'),
  webSocket('channel.k8s.io', { tellsCode: false }),
  webSocket('base64.channel.k8s.io', { tellsCode: false }),
  webSocket('', { tellsCode: false }),
];

export interface Streams {
  readonly stdin?: boolean;
  readonly tty?: boolean;
  readonly stderr?: boolean;
}

/** Asks for an exec and comes for its streams. */
export async function openExec(
  stack: Stack,
  wire: Wire,
  request: Streams & { readonly containerId: string; readonly cmd: readonly string[] },
): Promise<RemoteCommandClient> {
  const streams = streamsOf(request);
  const { url } = await stack.runtime.exec({
    containerId: request.containerId,
    cmd: [...request.cmd],
    ...streams,
  });
  return dialRemoteCommand(url, { ...streams, ...transportOf(wire) });
}

/** Asks for an attach and comes for its streams. */
export async function openAttach(
  stack: Stack,
  wire: Wire,
  request: Streams & { readonly containerId: string },
): Promise<RemoteCommandClient> {
  const streams = streamsOf(request);
  const { url } = await stack.runtime.attach({ containerId: request.containerId, ...streams });
  return dialRemoteCommand(url, { ...streams, ...transportOf(wire) });
}

function streamsOf({ stdin = false, tty = false, stderr = !tty }: Streams) {
  return { stdin, stdout: true, stderr, tty };
}

function transportOf({ transport, protocols }: Wire) {
  return { transport, protocols };
}

export interface Outcome {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly status: CommandStatus;
}

/** Reads everything to the end. */
export async function finish(client: RemoteCommandClient): Promise<Outcome> {
  const [stdout, stderr, status] = await Promise.all([
    all(client.stdout),
    all(client.stderr),
    client.status,
  ]);
  return { stdout, stderr, status };
}

async function all(stream: Readable | undefined): Promise<Buffer> {
  return stream === undefined ? Buffer.alloc(0) : buffer(stream);
}

/** What a stream has said so far; `until` waits for a text in it. */
export class Transcript {
  text = '';
  readonly #waiting = new Set<() => void>();

  constructor(stream: Readable | undefined) {
    stream?.on('data', (chunk: Buffer) => {
      this.text += chunk.toString();
      for (const look of this.#waiting) {
        look();
      }
    });
  }

  /** Resolves when the text has come; rejects with what came instead after a minute. */
  until(wanted: string | RegExp): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      reject(new Error(`no ${String(wanted)} in ${JSON.stringify(this.text)}`));
    }, 60_000);
    const look = (): void => {
      if (typeof wanted === 'string' ? this.text.includes(wanted) : wanted.test(this.text)) {
        this.#waiting.delete(look);
        clearTimeout(timer);
        resolve();
      }
    };
    this.#waiting.add(look);
    look();
    return promise;
  }
}
