import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from '@gantry/host';
import { runDir } from './run-dir.ts';

export interface Registry extends AsyncDisposable {
  /** host:port, as in an image reference. */
  readonly host: string;
  /** Where it keeps blobs: tests that spoil one write here. */
  readonly storageDir: string;
  /** Copies an OCI layout into the registry as `name`, such as "busybox:1". */
  push(layout: string, name: string): Promise<void>;
}

/** A port on loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') {
    throw new Error('no address of a listening socket');
  }
  return address.port;
}

/** Starts Debian's docker-registry on loopback. */
export async function startRegistry(): Promise<Registry> {
  const dir = await mkdtemp(join(runDir(), 'registry-'));
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const storageDir = join(dir, 'data');
  const config = join(dir, 'config.yml');
  await writeFile(
    config,
    `version: 0.1
log: {level: error}
storage:
  filesystem: {rootdirectory: ${storageDir}}
  delete: {enabled: true}
  cache: {blobdescriptor: inmemory}
http: {addr: "${host}"}
`,
  );
  const server = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  await answers(server, `http://${host}/v2/`);

  return {
    host,
    storageDir,
    push: async (layout, name) => {
      const { exitCode, stderr } = await run('skopeo', [
        'copy',
        '--quiet',
        '--dest-tls-verify=false',
        `oci:${layout}`,
        `docker://${host}/${name}`,
      ]);
      if (exitCode !== 0) {
        throw new Error(`push ${name}: ${stderr.toString()}`);
      }
    },
    [Symbol.asyncDispose]: async () => {
      if (server.exitCode === null) {
        const exited = once(server, 'exit');
        server.kill('SIGKILL');
        await exited;
      }
    },
  };
}

async function answers(server: ChildProcess, url: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (server.exitCode !== null) {
      throw new Error(`${url}: the server ended with ${server.exitCode}`);
    }
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) {
      return;
    }
    await delay(50);
  }
  throw new Error(`${url}: no answer`);
}
