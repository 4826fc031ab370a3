import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { acceptRemoteCommand } from './accept-remote-command.ts';
import { dialPortForward } from './dial-port-forward.ts';
import { dialRemoteCommand } from './dial-remote-command.ts';
import {
  commandDefaults,
  rawRequest,
  serveCommand,
  servePorts,
  spdyRequest,
  startServer,
  webSocketRequest,
} from './testing.ts';
import { refuse, refuseWithoutUpgrade } from './upgrade.ts';

const spdyWithout = (pattern: RegExp): string[] =>
  spdyRequest(['v4.channel.k8s.io']).filter((line) => !pattern.test(line));

const refusals: readonly {
  readonly name: string;
  readonly request: readonly string[];
  readonly status: number;
  readonly answer: RegExp;
}[] = [
  {
    name: 'no protocol',
    request: spdyRequest([]),
    status: 400,
    answer: /header X-Stream-Protocol-Version does not exist in request with 4 headers/,
  },
  {
    name: 'no known protocol',
    request: spdyRequest(['v9.channel.k8s.io', 'portforward.k8s.io']),
    status: 403,
    answer:
      /X-Accepted-Stream-Protocol-Versions: v5\.channel\.k8s\.io\r\nX-Accepted[\s\S]*speaks \[v9/,
  },
  {
    name: 'another upgrade',
    request: [...spdyWithout(/^Upgrade/), 'Upgrade: h2c'],
    status: 400,
    answer: /missing upgrade headers in request: Connection "Upgrade", Upgrade "h2c"/,
  },
  {
    name: 'a body',
    request: [...spdyWithout(/^Content-Length/), 'Content-Length: 5'],
    status: 400,
    answer: /the request has a body/,
  },
  {
    name: 'a chunked body',
    request: [...spdyWithout(/^Content-Length/), 'Transfer-Encoding: chunked'],
    status: 400,
    answer: /the request has a body/,
  },
  {
    name: 'a WebSocket of unknown sub-protocols',
    request: webSocketRequest('v9.channel.k8s.io, chat'),
    status: 403,
    answer: /the client speaks \[v9\.channel\.k8s\.io, chat\], the server \[v5\.channel/,
  },
  {
    name: 'a WebSocket by POST',
    request: ['POST /token HTTP/1.1', ...webSocketRequest('v4.channel.k8s.io').slice(1)],
    status: 400,
    answer: /Invalid HTTP method/,
  },
  {
    name: 'a WebSocket of an old version',
    request: webSocketRequest('v4.channel.k8s.io').map((line) =>
      line.replace('Version: 13', 'Version: 7'),
    ),
    status: 400,
    answer: /Sec-WebSocket-Version/,
  },
  {
    name: 'a WebSocket with a bad key',
    request: webSocketRequest('v4.channel.k8s.io').map((line) => line.replace(/Key: .*/, 'Key: x')),
    status: 400,
    answer: /Sec-WebSocket-Key/,
  },
];

describe('acceptRemoteCommand', () => {
  for (const { name, request, status, answer } of refusals) {
    it(`answers ${status} to ${name}, closes and rejects`, async (t) => {
      const served = await serveCommand(t);
      const socket = await rawRequest(t, served.url, request);
      const response = await text(socket);
      assert.ok(response.startsWith(`HTTP/1.1 ${status} `), response);
      assert.match(response, answer);
      assert.match(response, /\r\nConnection: close\r\n/);
      await assert.rejects(served.session, { kind: 'invalid-argument' });
      await served.socketClosed;
    });
  }

  it('takes the first protocol of the client that it knows', async (t) => {
    const served = await serveCommand(t);
    const protocols = ['v9.channel.k8s.io', 'v3.channel.k8s.io', 'v4.channel.k8s.io'];
    const socket = await rawRequest(t, served.url, spdyRequest(protocols));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.equal(
      answer.toString(),
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n' +
        'X-Stream-Protocol-Version: v3.channel.k8s.io\r\n\r\n',
    );
    socket.end();
    await served.socketClosed;
    await assert.rejects(served.session);
  });

  it('serves no version that it was told not to, base64 neither', async (t) => {
    const supportedProtocols = ['channel.k8s.io'];
    for (const transport of ['spdy', 'websocket'] as const) {
      const served = await serveCommand(t, { supportedProtocols });
      const dial = { transport, stdout: true, stderr: true, tty: false } as const;
      await assert.rejects(
        dialRemoteCommand(served.url, { ...dial, protocols: ['v4.channel.k8s.io'] }),
        /403/,
      );
      await assert.rejects(served.session);
    }
    const served = await serveCommand(t, { supportedProtocols });
    const socket = await rawRequest(
      t,
      served.url,
      webSocketRequest('v4.base64.channel.k8s.io, base64.channel.k8s.io'),
    );
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.match(answer.toString(), /Sec-WebSocket-Protocol: base64\.channel\.k8s\.io\r\n/);
  });

  it('names no sub-protocol and no extension to a WebSocket that asked for none', async (t) => {
    const served = await serveCommand(t);
    const request = [
      ...webSocketRequest(undefined),
      'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
    ];
    const socket = await rawRequest(t, served.url, request);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    const session = await served.session;
    session.stdout?.write('x');
    while (!Buffer.concat(chunks).includes(Buffer.from('82020178', 'hex'))) {
      await once(socket, 'data');
    }
    const answer = Buffer.concat(chunks).toString('latin1');
    assert.match(answer, /^HTTP\/1\.1 101 /);
    assert.doesNotMatch(answer, /Sec-WebSocket-(Protocol|Extensions)/);
    // First an empty message on the lowest channel, then the byte.
    assert.ok(answer.endsWith('\r\n\r\n\x82\x01\x01\x82\x02\x01x'), JSON.stringify(answer));
    assert.equal(session.protocol, '');
  });

  for (const request of [
    spdyRequest(['v4.channel.k8s.io']),
    webSocketRequest('v4.channel.k8s.io'),
  ]) {
    it(`rejects when the client has left already (${request[3]})`, async (t) => {
      const accepted = Promise.withResolvers<unknown>();
      const url = await startServer(t, (incoming, socket, head) => {
        const { signal } = new AbortController();
        socket.once('close', () => {
          acceptRemoteCommand(incoming, socket, head, { ...commandDefaults, signal }).then(
            accepted.resolve,
            accepted.reject,
          );
        });
        socket.destroy();
      });
      await rawRequest(t, url, request);
      await assert.rejects(accepted.promise, { kind: 'unavailable' });
    });
  }

  it('does nothing for a server that is stopping', async (t) => {
    const served = await serveCommand(t, { signal: AbortSignal.abort(new Error('stopping')) });
    await rawRequest(t, served.url, spdyRequest(['v4.channel.k8s.io']));
    await assert.rejects(served.session, /stopping/);
    await served.socketClosed;
  });
});

describe('acceptPortForward', () => {
  for (const [name, request, status] of [
    ['a remotecommand protocol over SPDY', spdyRequest(['v4.channel.k8s.io']), 403],
    ['a WebSocket of v5', webSocketRequest('v5.channel.k8s.io'), 403],
    ['channels without ports', webSocketRequest('v4.channel.k8s.io'), 400],
  ] as const) {
    it(`answers ${status} to ${name}`, async (t) => {
      const served = await servePorts(t);
      const socket = await rawRequest(t, served.url, request);
      assert.match(await text(socket), new RegExp(`^HTTP/1.1 ${status} `));
      await assert.rejects(served.session, { kind: 'invalid-argument' });
      await served.socketClosed;
    });
  }
});

describe('refuseWithoutUpgrade', () => {
  it('answers 400 and says what is missing', async (t) => {
    const server = createServer(refuseWithoutUpgrade);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/exec/token`;
    const plain = await fetch(url);
    assert.equal(plain.status, 400);
    assert.match(await plain.text(), /X-Stream-Protocol-Version does not exist/);
    const half = await fetch(url, {
      method: 'POST',
      headers: { 'X-Stream-Protocol-Version': 'v4.channel.k8s.io' },
    });
    assert.equal(half.status, 400);
    assert.match(await half.text(), /missing upgrade headers in request/);
  });
});

describe('dialing', () => {
  for (const transport of ['spdy', 'websocket'] as const) {
    const dial = { transport, stdout: true, stderr: true, tty: false } as const;

    it(`rejects with the words of the server (${transport})`, async (t) => {
      const url = await startServer(t, (_request, socket) => {
        refuse(socket, { status: 404, message: '{"message":"no such token"}' });
      });
      await assert.rejects(dialRemoteCommand(url, dial), {
        kind: 'not-found',
        message: 'server answered 404: no such token',
      });
      await assert.rejects(dialPortForward(url, { transport }), /404: no such token/);
    });

    it(`rejects when nobody listens, without telling the token (${transport})`, async () => {
      await assert.rejects(dialRemoteCommand('http://127.0.0.1:1/exec/secret', dial), {
        kind: 'unavailable',
        message: 'connect to http://127.0.0.1:1',
      });
    });

    it(`can be canceled (${transport})`, async (t) => {
      const abort = new AbortController();
      const url = await startServer(t, () => abort.abort());
      await assert.rejects(dialRemoteCommand(url, { ...dial, signal: abort.signal }), {
        kind: 'canceled',
      });
    });

    it(`takes only a protocol that it offered (${transport})`, async (t) => {
      const served = await serveCommand(t);
      const protocols = ['v1.mine', 'v4.channel.k8s.io'];
      const client = await dialRemoteCommand(served.url, { ...dial, protocols });
      assert.equal(client.protocol, 'v4.channel.k8s.io');
      const session = await served.session;
      const finished = session.finish({ success: true });
      client.stdout?.resume();
      client.stderr?.resume();
      await client.status;
      await client[Symbol.asyncDispose]();
      await finished;

      const url = await startServer(t, (_request, socket) => {
        socket.end(
          'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n' +
            'X-Stream-Protocol-Version: other\r\n\r\n',
        );
      });
      await assert.rejects(dialRemoteCommand(url, dial), { kind: 'unavailable' });
    });
  }
});
