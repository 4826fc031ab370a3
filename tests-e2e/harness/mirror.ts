import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { run } from '@gantry/host';

export interface Asked {
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

/** Stands before a registry as a mirror of hosts.toml does, and notes what it is asked for. */
export interface Mirror extends AsyncDisposable {
  /** host:port. */
  readonly host: string;
  readonly asked: readonly Asked[];
  /** From now on turns over a bit of this blob; of none without one. */
  spoil(digest?: string): void;
  /** Forgets what it was asked for so far. */
  forget(): void;
}

export interface KeyPair {
  readonly certFile: string;
  readonly keyFile: string;
}

interface Options {
  /** host:port. */
  readonly registry: string;
  /** Taken off each path; others are not found. */
  readonly prefix?: string;
  /** Speak TLS, to those alone who show the certificate `client`. */
  readonly tls?: { readonly server: KeyPair; readonly client: KeyPair };
}

export async function startMirror({ registry, prefix = '', tls }: Options): Promise<Mirror> {
  const asked: Asked[] = [];
  let spoiled: string | undefined;
  const handle = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const path = incoming.url ?? '';
    asked.push({ path, headers: incoming.headers });
    if (!path.startsWith(`${prefix}/`)) {
      outgoing.writeHead(404).end();
      return;
    }
    const headers = { ...incoming.headers, host: registry };
    const onward = request(`http://${registry}${path.slice(prefix.length)}`, { headers });
    onward.on('response', (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      const isSpoiled = spoiled !== undefined && path.includes(spoiled);
      answer.once('data', (chunk: Buffer) => {
        if (isSpoiled) {
          chunk.writeUInt8(chunk.readUInt8(chunk.length >> 1) ^ 1, chunk.length >> 1);
        }
      });
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    onward.end();
  };
  const server =
    tls === undefined
      ? createServer(handle)
      : createTlsServer(
          {
            cert: await readFile(tls.server.certFile),
            key: await readFile(tls.server.keyFile),
            ca: await readFile(tls.client.certFile),
            requestCert: true,
            rejectUnauthorized: true,
          },
          handle,
        );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    spoil: (digest) => {
      spoiled = digest;
    },
    forget: () => {
      asked.length = 0;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A key with a certificate that it has signed itself, good for 127.0.0.1. */
export async function makeKeyPair(dir: string, name: string): Promise<KeyPair> {
  const [certFile, keyFile] = [join(dir, `${name}.cert.pem`), join(dir, `${name}.key.pem`)];
  const { exitCode, stderr } = await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '2', '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', keyFile, '-out', certFile],
  ]);
  if (exitCode !== 0) {
    throw new Error(`openssl: ${stderr.toString()}`);
  }
  return { certFile, keyFile };
}
