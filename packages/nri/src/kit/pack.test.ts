import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { execPath } from 'node:process';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { Plugin, Runtime } from '@gantry/proto/nri';
import { callMethod, serviceHandlers, TtrpcClient, TtrpcServer } from '@gantry/ttrpc';
import { connections, Mux } from '../mux.ts';
import { packKit } from './pack.ts';

const root = resolve(import.meta.dirname, '../../../..');

/** The first example of docs/nri.md, as a reader copies it. */
function tenLines(): string {
  const text = readFileSync(join(root, 'docs/nri.md'), 'utf8');
  return /```ts\n(.*?)```/s.exec(text)?.[1] ?? '';
}

test('the ten lines of docs/nri.md are a plugin, with the kit installed outside this repository', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'author-'));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  const kit = packKit(dir);
  // What npm install does, without a registry.
  const installed = join(dir, 'node_modules/@gantry/nri');
  mkdirSync(installed, { recursive: true });
  spawnSync('tar', ['-xzf', kit, '--strip-components=1', '-C', installed]);
  symlinkSync(join(root, 'node_modules/@bufbuild'), join(dir, 'node_modules/@bufbuild'));
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
  assert.ok(tenLines().split('\n').length <= 12);
  writeFileSync(join(dir, 'hello.ts'), tenLines());

  const child = spawn(execPath, ['hello.ts'], {
    cwd: dir,
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    env: { NRI_PLUGIN_NAME: 'hello', NRI_PLUGIN_IDX: '50', NRI_PLUGIN_SOCKET: '3' },
  });
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  assert.ok(child.stdio[3] instanceof Duplex);
  const mux = new Mux(child.stdio[3]);
  const registered = Promise.withResolvers<void>();
  new TtrpcServer(
    mux.open(connections.runtime),
    new Map([
      serviceHandlers(Runtime, {
        registerPlugin: () => {
          registered.resolve();
          return Promise.resolve({});
        },
      }),
    ]),
  );
  const client = new TtrpcClient(mux.open(connections.plugin));
  await Promise.race([registered.promise, ended]);
  const { adjust } = await callMethod(client, Plugin.method.createContainer, {
    pod: { name: 'web', namespace: 'default' },
    container: { name: 'main' },
  });
  assert.deepEqual(
    adjust?.env.map(({ key, value }) => [key, value]),
    [['GREETING', 'hello default/web/main']],
  );
  mux.close();
});
