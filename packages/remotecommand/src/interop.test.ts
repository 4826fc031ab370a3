import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { env } from 'node:process';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildGoPeer } from '@gantry/host/testing';
import type { RemoteCommandOptions, RemoteCommandSession, TerminalSize } from './session.ts';
import { serveCommand, servePorts } from './testing.ts';

const peer = buildGoPeer(fileURLToPath(new URL('../interop', import.meta.url)));
const skip = 'skip' in peer ? peer.skip : false;
const path = 'path' in peer ? peer.path : '';

interface Ran {
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly exitCode: number | null;
}

/** Runs the peer; its stdin stays open when `stdin` is undefined. */
async function run(t: TestContext, args: readonly string[], stdin?: Buffer): Promise<Ran> {
  const child = start(t, args);
  if (stdin !== undefined) {
    child.stdin?.on('error', () => {});
    child.stdin?.end(stdin);
  }
  assert.ok(child.stdout && child.stderr);
  const [stdout, stderr] = await Promise.all([
    buffer(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { stdout, stderr, exitCode: child.exitCode };
}

function start(t: TestContext, args: readonly string[]): ChildProcess {
  // A proxy of the user has no say in what happens on the loopback.
  const { http_proxy: _, HTTP_PROXY: __, ...clean } = env;
  const child = spawn(path, args, { stdio: 'pipe', env: clean });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

/** Serves one request, and tells the peer's arguments that ask for it. */
async function serve(
  t: TestContext,
  options: Partial<RemoteCommandOptions>,
  handler: (session: RemoteCommandSession) => Promise<void>,
): Promise<{ url: string; done: Promise<string> }> {
  const { url, session } = await serveCommand(t, options);
  const done = session.then(async (s) => {
    await handler(s);
    return s.protocol;
  });
  done.catch(() => {});
  return { url, done };
}

const ways = [
  ['spdy', ''],
  ['spdy', 'v5.channel.k8s.io'],
  ['spdy', 'v4.channel.k8s.io'],
  ['spdy', 'v3.channel.k8s.io'],
  ['spdy', 'v2.channel.k8s.io'],
  ['spdy', 'channel.k8s.io'],
  ['websocket', ''],
  ['websocket', 'v4.channel.k8s.io'],
] as const;

describe('with the client of kubectl and crictl', { skip, timeout: 300_000 }, () => {
  for (const [transport, protocol] of ways) {
    const flags = protocol === '' ? [] : ['-protocol', protocol];
    const version = protocol === '' ? 'v5.channel.k8s.io' : protocol;
    // The client of v1 never ends stdin, and leaves when it has a status, even without the output.
    const isFirst = version === 'channel.k8s.io';
    const hasHalfClose = !isFirst && (transport === 'spdy' || version.startsWith('v5'));
    const isStructured = /^v[45]/.test(version);
    const title = `${protocol || 'what it offers by itself'}, ${transport}`;

    it(`gives output, error output and exit code (${title})`, async (t) => {
      const { url, done } = await serve(t, {}, async (session) => {
        session.stdout?.write('out');
        session.stderr?.write('err');
        await session.finish({ exitCode: isFirst ? 0 : 42 });
      });
      const ran = await run(t, ['exec', ...flags, transport, url]);
      assert.equal(await done, version);
      assert.equal(ran.stdout.toString(), 'out');
      if (isStructured) {
        assert.deepEqual([ran.stderr, ran.exitCode], ['err', 42]);
      } else if (isFirst) {
        assert.deepEqual([ran.stderr, ran.exitCode], ['err', 0]);
      } else {
        assert.match(ran.stderr, /^err[\s\S]*exit code 42/);
      }
    });

    it(`ends well (${title})`, async (t) => {
      const { url, done } = await serve(t, {}, (session) => session.finish({ success: true }));
      const ran = await run(t, ['exec', ...flags, transport, url]);
      assert.deepEqual([ran.stdout.length, ran.stderr, ran.exitCode], [0, '', 0]);
      await done;
    });

    it(`ends although its stdin stays open, with a tty and sizes (${title})`, async (t) => {
      const sizes: TerminalSize[] = [];
      const options = { stdin: true, stderr: false, tty: true };
      const { url, done } = await serve(t, options, async (session) => {
        for await (const size of session.resizes) {
          sizes.push(size);
          if (size.width === 120) {
            break;
          }
        }
        session.stdout?.write('prompt');
        await session.finish({ success: true });
      });
      const ran = await run(t, ['exec', '-stdin', '-tty', ...flags, transport, url]);
      assert.equal(ran.stdout.toString(), 'prompt');
      assert.equal(ran.exitCode, 0, ran.stderr);
      await done;
      if (version !== 'v2.channel.k8s.io' && version !== 'channel.k8s.io') {
        assert.deepEqual(sizes.at(-1), { width: 120, height: 50 });
      }
    });

    if (hasHalfClose) {
      it(`gets back 10 MB that it sends, until it ends stdin (${title})`, async (t) => {
        const sent = randomBytes(10_000_000);
        const { url, done } = await serve(t, { stdin: true }, async (session) => {
          assert.ok(session.stdin && session.stdout);
          await pipeline(session.stdin, session.stdout);
          await session.finish({ success: true });
        });
        const ran = await run(t, ['exec', '-stdin', ...flags, transport, url], sent);
        assert.equal(ran.stderr, '');
        assert.ok(ran.stdout.equals(sent), `${ran.stdout.length} bytes`);
        await done;
      });
    }
  }

  for (const transport of ['spdy', 'websocket'] as const) {
    it(`gets 50 MB whole while it still sends (${transport})`, async (t) => {
      const block = randomBytes(1_000_000);
      const { url, done } = await serve(t, { stdin: true }, async (session) => {
        for (let i = 0; i < 50; i++) {
          if (session.stdout?.write(block) === false) {
            await once(session.stdout, 'drain');
          }
        }
        // Nobody has read stdin.
        await session.finish({ exitCode: 1 });
      });
      const ran = await run(t, ['exec', '-stdin', transport, url], Buffer.alloc(20_000_000));
      assert.equal(ran.exitCode, 1, ran.stderr);
      assert.equal(ran.stdout.length, 50_000_000);
      assert.ok(ran.stdout.subarray(-block.length).equals(block));
      await done;
    });

    it(`is told why the server let it go (${transport})`, async (t) => {
      const { url } = await serve(t, { supportedProtocols: [] }, async () => {});
      const ran = await run(t, ['exec', transport, url]);
      assert.equal(ran.exitCode, 255);
      assert.match(ran.stderr, /no protocol in common/);
    });
  }

  it('is told what the command failed of', async (t) => {
    const { url, done } = await serve(t, {}, (session) =>
      session.finish({ error: 'error executing command in container: no shell' }),
    );
    const ran = await run(t, ['exec', 'spdy', url]);
    assert.match(ran.stderr, /Internal error occurred: error executing command in container: no s/);
    await done;
  });

  for (const transport of ['spdy', 'websocket'] as const) {
    async function forward(
      t: TestContext,
    ): Promise<{ dial: () => Promise<Socket>; child: ChildProcess }> {
      const served = await servePorts(t);
      const child = start(t, ['forward', transport, served.url, '8080']);
      assert.ok(child.stdout);
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      void served.session.then(async (session) => {
        for await (const { port, data } of session.connections) {
          data.write(`${port}:`);
          pipeline(data, data).catch(() => {});
        }
      });
      return {
        child,
        dial: async () => {
          const socket = connect({
            port: Number(line.toString()),
            host: '127.0.0.1',
            allowHalfOpen: true,
          });
          await once(socket, 'connect');
          t.after(() => socket.destroy());
          return socket;
        },
      };
    }

    it(`forwards 50 connections at once, each closed for one side first (${transport})`, async (t) => {
      const { dial } = await forward(t);
      const echoes = Array.from({ length: 50 }, async (_, i) => {
        const socket = await dial();
        socket.end(`${i} `.repeat(10_000));
        assert.equal(await text(socket), `8080:${`${i} `.repeat(10_000)}`);
      });
      await Promise.all(echoes);
    });

    it(`forwards 20 MB each way (${transport})`, async (t) => {
      const { dial } = await forward(t);
      const socket = await dial();
      const sent = randomBytes(20_000_000);
      socket.end(sent);
      const echo = await buffer(socket);
      assert.ok(echo.subarray(5).equals(sent));
    });

    it(`is told of a failed connection (${transport})`, async (t) => {
      const served = await servePorts(t);
      const child = start(t, ['forward', transport, served.url, '8080']);
      assert.ok(child.stdout && child.stderr);
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      const session = await served.session;
      const said = text(child.stderr);
      connect(Number(line.toString()), '127.0.0.1').on('error', () => {});
      for await (const connection of session.connections) {
        await connection.fail('error forwarding port 8080 to pod p, uid : refused');
        break;
      }
      // client-go gives up the whole session then.
      assert.match(await said, /error forwarding port 8080 to pod p, uid : refused/);
      await served.socketClosed;
      assert.equal(session.gone.aborted, true);
    });

    it(`leaves nothing behind when it ends (${transport})`, async (t) => {
      const served = await servePorts(t);
      const child = start(t, ['forward', transport, served.url, '8080']);
      assert.ok(child.stdout);
      await once(child.stdout, 'data');
      const session = await served.session;
      const gone = once(session.gone, 'abort');
      child.stdin?.end();
      await gone;
      await served.socketClosed;
    });
  }
});
