import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import type { DialRemoteCommandOptions, RemoteCommandClient } from './client.ts';
import { dialRemoteCommand } from './dial-remote-command.ts';
import { channelProtocols, commandProtocols } from './protocols.ts';
import type { CommandStatus, RemoteCommandOptions, RemoteCommandSession } from './session.ts';
import { serveCommand } from './testing.ts';

interface Way {
  readonly transport: 'spdy' | 'websocket';
  readonly protocol: string;
}

const ways: readonly Way[] = [
  ...commandProtocols.map((protocol) => ({ transport: 'spdy', protocol }) as const),
  ...channelProtocols
    .filter(({ name }) => name !== '')
    .map(({ name }) => ({ transport: 'websocket', protocol: name }) as const),
];

async function connect(
  t: TestContext,
  { transport, protocol }: Way,
  options: Partial<RemoteCommandOptions> = {},
): Promise<{ client: RemoteCommandClient; session: RemoteCommandSession }> {
  const served = await serveCommand(t, options);
  const dial: DialRemoteCommandOptions = {
    transport,
    protocols: [protocol],
    stdin: options.stdin ?? false,
    stdout: options.stdout ?? true,
    stderr: options.stderr ?? true,
    tty: options.tty ?? false,
    signal: AbortSignal.timeout(30_000),
  };
  const client = await dialRemoteCommand(served.url, dial);
  t.after(() => client[Symbol.asyncDispose]());
  const session = await served.session;
  assert.equal(session.protocol, protocol);
  assert.equal(client.protocol, protocol);
  return { client, session };
}

function canTell(protocol: string): boolean {
  return /^v[45]/.test(protocol);
}

for (const way of ways) {
  const { transport, protocol } = way;
  const hasHalfClose = transport === 'spdy' || protocol.startsWith('v5');

  describe(`${protocol} over ${transport}`, () => {
    for (const [stdin, stdout, stderr, tty] of [
      [false, true, true, false],
      [true, true, true, false],
      [true, true, false, true],
      [false, true, false, true],
      [true, false, false, false],
      [false, false, true, false],
    ] as const) {
      it(`stdin ${stdin}, stdout ${stdout}, stderr ${stderr}, tty ${tty}`, async (t) => {
        const { client, session } = await connect(t, way, { stdin, stdout, stderr, tty });
        assert.deepEqual(
          [session.stdin, session.stdout, session.stderr].map((s) => s !== undefined),
          [stdin, stdout, stderr],
        );
        if (client.stdin !== undefined && session.stdin !== undefined) {
          client.stdin.write('typed');
          const [chunk] = (await once(session.stdin, 'data')) as [Buffer];
          assert.equal(chunk.toString(), 'typed');
        }
        session.stdout?.write('out');
        session.stderr?.write('err');
        const finished = session.finish({ success: true });
        assert.equal(client.stdout && (await text(client.stdout)), stdout ? 'out' : undefined);
        assert.equal(client.stderr && (await text(client.stderr)), stderr ? 'err' : undefined);
        assert.deepEqual(await client.status, { success: true });
        await client[Symbol.asyncDispose]();
        await finished;
        assert.equal(session.gone.aborted, false);
      });
    }

    const statuses: readonly CommandStatus[] = [
      { exitCode: 0 },
      { exitCode: 7 },
      { exitCode: 137 },
      { error: 'error executing command in container: no such file' },
    ];
    for (const status of statuses) {
      it(`tells ${JSON.stringify(status)}`, async (t) => {
        const { client, session } = await connect(t, way);
        const finished = session.finish(status);
        assert.ok(client.stdout && client.stderr);
        await Promise.all([text(client.stdout), text(client.stderr)]);
        const told = await client.status;
        if ('exitCode' in status && status.exitCode === 0) {
          assert.deepEqual(told, { success: true });
        } else if ('error' in status) {
          assert.deepEqual(told, { error: `Internal error occurred: ${status.error}` });
        } else if (canTell(protocol)) {
          assert.deepEqual(told, status);
        } else {
          assert.match(JSON.stringify(told), /exit code (7|137)"/);
        }
        await client[Symbol.asyncDispose]();
        await finished;
      });
    }

    it('passes sizes on when there is a tty', async (t) => {
      const { client, session } = await connect(t, way, { tty: true, stderr: false, stdin: true });
      client.resize({ width: 80, height: 24 });
      const sizes = session.resizes[Symbol.asyncIterator]();
      if (transport === 'spdy' && !/^v[345]/.test(protocol)) {
        assert.equal((await sizes.next()).done, true);
        return;
      }
      assert.deepEqual((await sizes.next()).value, { width: 80, height: 24 });
      client.resize({ width: 132, height: 43 });
      assert.deepEqual((await sizes.next()).value, { width: 132, height: 43 });
      const last = sizes.next();
      await client[Symbol.asyncDispose]();
      assert.equal((await last).done, true);
    });

    if (hasHalfClose) {
      it('ends stdin where the client ends it, and still gives the output', async (t) => {
        const { client, session } = await connect(t, way, { stdin: true });
        client.stdin?.end('all there is');
        assert.ok(session.stdin && client.stdout);
        assert.equal(await text(session.stdin), 'all there is');
        session.stdout?.write('counted');
        const finished = session.finish({ exitCode: 3 });
        assert.equal(await text(client.stdout), 'counted');
        client.stderr?.resume();
        assert.ok(await client.status);
        await client[Symbol.asyncDispose]();
        await finished;
      });
    }

    it('carries megabytes both ways at once', async (t) => {
      const { client, session } = await connect(t, way, { stdin: true });
      assert.ok(client.stdin && client.stdout && client.stderr && session.stdin && session.stdout);
      const block = Buffer.alloc(3_000_017, 'no byte may be lost ');
      let received = 0;
      const all = Promise.withResolvers<void>();
      session.stdin.on('data', (chunk: Buffer) => {
        assert.ok(chunk.equals(block.subarray(received, received + chunk.length)));
        received += chunk.length;
        if (received === block.length) {
          all.resolve();
        }
      });
      client.stdin.write(block);
      session.stdout.write(block);
      const out = buffer(client.stdout);
      await all.promise;
      const finished = session.finish({ success: true });
      client.stderr.resume();
      assert.ok((await out).equals(block));
      assert.deepEqual(await client.status, { success: true });
      await client[Symbol.asyncDispose]();
      await finished;
    });

    it('tells the session when its client vanishes', async (t) => {
      const abort = new AbortController();
      const served = await serveCommand(t, { stdin: true });
      const client = await dialRemoteCommand(served.url, {
        transport,
        protocols: [protocol],
        stdin: true,
        stdout: true,
        stderr: true,
        tty: false,
        signal: abort.signal,
      });
      const session = await served.session;
      const gone = once(session.gone, 'abort');
      abort.abort();
      await gone;
      assert.equal((session.gone.reason as { kind: string }).kind, 'unavailable');
      await assert.rejects(client.status);
      // All of these must come to an end by themselves.
      await session.finish({ exitCode: 1 });
      for await (const size of session.resizes) {
        assert.fail(`unexpected ${size.width}`);
      }
      await session[Symbol.asyncDispose]();
      await served.socketClosed;
    });

    it('drops what the client types after the command has ended', async (t) => {
      const { client, session } = await connect(t, way, { stdin: true });
      client.stdin?.write(Buffer.alloc(2_000_000));
      session.stdout?.write('last line');
      const finished = session.finish({ exitCode: 5 });
      client.stderr?.resume();
      assert.ok(client.stdout);
      assert.equal(await text(client.stdout), 'last line');
      assert.ok(await client.status);
      await client[Symbol.asyncDispose]();
      await finished;
    });
  });
}

describe('a slow client', () => {
  for (const way of ways.filter(({ protocol }) => /^v[45]/.test(protocol))) {
    it(`holds up the command, not the memory (${way.protocol}, ${way.transport})`, async (t) => {
      const { client, session } = await connect(t, way);
      assert.ok(client.stdout && client.stderr && session.stdout);
      const written = await writeUntilStuck(session.stdout);
      assert.ok(written < 30_000_000, `${written} bytes on the way`);
      assert.ok(session.stdout.writableLength < 500_000);
      client.stderr.resume();
      const out = buffer(client.stdout);
      const finished = session.finish({ success: true });
      assert.equal((await out).length, written);
      assert.deepEqual(await client.status, { success: true });
      await client[Symbol.asyncDispose]();
      await finished;
    });
  }

  for (const way of ways.filter(({ protocol }) => /^v[45]/.test(protocol))) {
    it(`is held up by a slow command (${way.protocol}, ${way.transport})`, async (t) => {
      const { client, session } = await connect(t, way, { stdin: true });
      assert.ok(client.stdin && client.stdout && client.stderr && session.stdin);
      const written = await writeUntilStuck(client.stdin);
      assert.ok(written < 30_000_000, `${written} bytes on the way`);
      let read = 0;
      for await (const chunk of session.stdin as AsyncIterable<Buffer>) {
        read += chunk.length;
        if (read === written) {
          break;
        }
      }
      const finished = session.finish({ success: true });
      client.stderr.resume();
      client.stdout.resume();
      assert.deepEqual(await client.status, { success: true });
      await client[Symbol.asyncDispose]();
      await finished;
    });
  }
});

/** Writes until nothing moves for a while, and gives the number of bytes. */
async function writeUntilStuck(stream: Writable): Promise<number> {
  const block = Buffer.alloc(65_536, 'x');
  for (let written = block.length; ; written += block.length) {
    if (!stream.write(block)) {
      try {
        await once(stream, 'drain', { signal: AbortSignal.timeout(300) });
      } catch {
        return written;
      }
    }
  }
}
