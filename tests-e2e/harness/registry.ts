import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from '@gantry/host';
import { runDir } from './run-dir.ts';

export interface Registry extends AsyncDisposable {
  /** host:port, as in an image reference. */
  readonly host: string;
  /** Where it keeps blobs: tests that spoil one write here. */
  readonly storageDir: string;
  /** Of a guarded one: the authority that has signed its certificate. */
  readonly caFile: string;
  /** Copies an OCI layout into the registry as `name`, such as "busybox:1". */
  push(layout: string, name: string): Promise<void>;
}

let lastPort = 10_000 + (process.pid % 1000) * 20;

/**
 * A port on loopback that is free, and not one of those that the kernel gives away (32768 and up):
 * nobody takes it before its owner listens, or while that one is killed and started again. The next
 * few stay free too, for replicas.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    lastPort += 10;
    const server = createServer().listen(lastPort, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (isFree) {
      server.close();
      await once(server, 'close');
      return lastPort;
    }
  }
}

/** Who may use a guarded registry; the hash is bcrypt's, which Node has not. */
export const guest = {
  username: 'lab',
  password: 'lab-secret',
  entry: 'lab:$2b$04$cqtxFj.CrJgCs3l7Hvf0rOnx7/wmhIZ92cZDRNBglRlkJb5p7NltK',
} as const;

/** Starts Debian's docker-registry on loopback; a guarded one speaks TLS and wants a password. */
export async function startRegistry(
  options: { readonly isGuarded?: boolean } = {},
): Promise<Registry> {
  const { isGuarded = false } = options;
  const dir = await mkdtemp(join(runDir(), 'registry-'));
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const storageDir = join(dir, 'data');
  const config = join(dir, 'config.yml');
  const [caFile, keyFile] = [join(dir, 'ca.pem'), join(dir, 'key.pem')];
  if (isGuarded) {
    await must('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-days', '2', '-subj', '/CN=lab', '-addext', 'subjectAltName=IP:127.0.0.1'],
      ...['-keyout', keyFile, '-out', caFile],
    ]);
    await writeFile(join(dir, 'htpasswd'), `${guest.entry}\n`);
  }
  await writeFile(
    config,
    `version: 0.1
log: {level: error}
storage:
  filesystem: {rootdirectory: ${storageDir}}
  delete: {enabled: true}
  cache: {blobdescriptor: inmemory}
http:
  addr: "${host}"
${isGuarded ? `  tls: {certificate: ${caFile}, key: ${keyFile}}\nauth: {htpasswd: {realm: lab, path: ${join(dir, 'htpasswd')}}}` : ''}
`,
  );
  const server = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  await listens(server, port);
  const credentials = isGuarded ? ['--dest-creds', `${guest.username}:${guest.password}`] : [];

  return {
    host,
    storageDir,
    caFile,
    push: (layout, name) =>
      must('skopeo', [
        ...['copy', '--quiet', '--dest-tls-verify=false', ...credentials],
        ...[`oci:${layout}`, `docker://${host}/${name}`],
      ]),
    [Symbol.asyncDispose]: async () => {
      if (server.exitCode === null) {
        const exited = once(server, 'exit');
        server.kill('SIGKILL');
        await exited;
      }
    },
  };
}

async function must(command: string, args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await run(command, args);
  if (exitCode !== 0) {
    throw new Error(`${command} ${args.join(' ')}: ${stderr.toString()}`);
  }
}

async function listens(server: ChildProcess, port: number): Promise<void> {
  for (let attempt = 0; attempt < 1200; attempt++) {
    if (server.exitCode !== null) {
      throw new Error(`docker-registry ended with ${server.exitCode}`);
    }
    const isUp = await new Promise<boolean>((resolve) => {
      const connection = createConnection({ port, host: '127.0.0.1' }, () => {
        connection.destroy();
        resolve(true);
      }).on('error', () => resolve(false));
    });
    if (isUp) {
      return;
    }
    await delay(50);
  }
  throw new Error(`docker-registry: nothing listens on port ${port}`);
}
