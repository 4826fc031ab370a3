import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { ImageService } from '@gantry/proto';
import { type Routes, type RunningServer, type ServeOptions, serveRoutes } from './serve.ts';

export const unusedRoutes: Routes = {
  unary: () => Promise.reject(new Error('unary is not part of this test')),
  stream: () => {
    throw new Error('stream is not part of this test');
  },
};

export const echo: Partial<Routes> = { unary: (_method, body) => Promise.resolve(body) };

export async function temporaryDirectory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'rpc-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Serves the methods of ImageService until the test ends. */
export async function startServer(
  t: TestContext,
  routes: Partial<Routes>,
  options: Partial<ServeOptions> = {},
): Promise<RunningServer> {
  const server = await serveRoutes({
    socket: join(await temporaryDirectory(t), 'd', 's.sock'),
    maxMessageBytes: 64 << 20,
    services: [ImageService],
    drainMs: 2000,
    ...options,
    routes: { ...unusedRoutes, ...routes },
  });
  t.after(() => server[Symbol.asyncDispose]());
  return server;
}
