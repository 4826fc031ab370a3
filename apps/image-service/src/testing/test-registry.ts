import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { findTool } from '@gantry/host';
import type { TestCertificate } from './test-certificate.ts';
import type { TestImage } from './test-image.ts';

export interface TestRegistry {
  /** `127.0.0.1:<port>`. */
  readonly host: string;
  push(image: TestImage, repository: string, tag: string): Promise<void>;
  pushManifest(bytes: Buffer, type: string, repository: string, tag: string): Promise<void>;
  /** Serves the same images by TLS too, at the `127.0.0.1:<port>` that it resolves with. */
  serveTls(certificate: TestCertificate): Promise<string>;
}

/** What keeps tests with a registry from running here; false when nothing does. */
export const cannotRun: string | false =
  process.geteuid?.() === 0
    ? findTool('docker-registry') === undefined && 'needs the Debian package docker-registry'
    : 'needs root';

/** Starts a real registry on loopback with storage of its own; it ends with the test. */
export async function startRegistry(t: TestContext): Promise<TestRegistry> {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-registry-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const host = await serve(t, directory);
  return {
    host,
    push: (image, repository, tag) => push(host, image, repository, tag),
    pushManifest: (...manifest) => pushManifest(host, ...manifest),
    serveTls: (certificate) => serve(t, directory, certificate),
  };
}

/** A process of the registry on what lies below `directory`; it ends with the test. */
async function serve(
  t: TestContext,
  directory: string,
  certificate?: TestCertificate,
): Promise<string> {
  const tls =
    certificate === undefined
      ? ''
      : `, tls: {certificate: ${certificate.caFile}, key: ${certificate.keyFile}}`;
  const config = join(directory, certificate === undefined ? 'config.yml' : 'config-tls.yml');
  // By plain HTTP one that speaks TLS answers 400.
  const ready = certificate === undefined ? 200 : 400;
  for (;;) {
    const host = `127.0.0.1:${await freePort()}`;
    writeFileSync(
      config,
      `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${directory}/data}}\nhttp: {addr: "${host}"${tls}}\n`,
    );
    const child = spawn('docker-registry', ['serve', config], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const told = text(child.stderr);
    const exited = once(child, 'exit').then(() => true);
    t.after(async () => {
      child.kill('SIGKILL');
      await exited;
    });
    while (!(await Promise.race([exited, answers(host, ready)]))) {
      await delay(25);
    }
    if (child.exitCode === null && child.signalCode === null) {
      return host;
    }
    // Another process was faster to take the port.
    assert.match(await told, /address already in use/);
  }
}

async function answers(host: string, status: number): Promise<boolean> {
  try {
    return (await fetch(`http://${host}/v2/`)).status === status;
  } catch {
    return false;
  }
}

async function push(
  host: string,
  image: TestImage,
  repository: string,
  tag: string,
): Promise<void> {
  for (const [digest, bytes] of image.blobs) {
    const start = await fetch(`http://${host}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(start.headers.get('location') ?? '', `http://${host}`);
    location.searchParams.set('digest', digest);
    const done = await fetch(location, {
      method: 'PUT',
      body: new Uint8Array(bytes),
      headers: { 'content-type': 'application/octet-stream' },
    });
    assert.equal(done.status, 201, await done.text());
  }
  await pushManifest(host, image.manifest, image.manifestType, repository, tag);
}

async function pushManifest(
  host: string,
  bytes: Buffer,
  type: string,
  repository: string,
  tag: string,
): Promise<void> {
  const answer = await fetch(`http://${host}/v2/${repository}/manifests/${tag}`, {
    method: 'PUT',
    body: new Uint8Array(bytes),
    headers: { 'content-type': type },
  });
  assert.equal(answer.status, 201, await answer.text());
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}
