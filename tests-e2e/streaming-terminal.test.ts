import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, type TestContext, test } from 'node:test';
import { type InputPipe, openInputPipe, run, startProcess } from '@gantry/host';
import {
  ContainerState,
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { freePort } from './harness/registry.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { Transcript } from './harness/stream-client.ts';
import { startInTerminal, type TerminalProgram } from './harness/terminal.ts';
import { until } from './harness/until.ts';

// What a person types into a terminal, with crictl and with gantry.

let stack: Stack;
let pod: RunningPod;
let containerId: string;
let count = 0;

before(async () => {
  stack = await startStack();
  pod = await runPod(stack, podConfig(stack, 'terminal'));
  containerId = await startContainer(
    stack,
    pod,
    shellContainer(
      'main',
      'mkdir /tmp/www; echo page > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www',
    ),
  );
});
after(async () => {
  await removePod(stack, pod.podSandboxId);
  await stack[Symbol.asyncDispose]();
});

/** A pipe that is closed at the end. */
function openInput(): InputPipe & Disposable {
  const input = openInputPipe();
  return {
    ...input,
    [Symbol.dispose]: () => {
      input.closePeer();
      input.stream.destroy();
    },
  };
}

const crictl = process.env['GANTRY_E2E_CRICTL'];
const clients = [
  {
    name: 'crictl',
    skip: crictl === undefined && 'no Go toolchain to build crictl with',
    command: () => String(crictl),
    // It gives a request two seconds unless told.
    before: () => ['--runtime-endpoint', `unix://${stack.socket}`, '--timeout', '60s'],
    after: (): string[] => [],
  },
  {
    name: 'gantry',
    skip: false as const,
    command: () => join(dirname(import.meta.dirname), 'gantry'),
    before: (): string[] => [],
    after: () => ['--config', stack.configFile],
  },
];

for (const client of clients) {
  const { skip } = client;
  const start = (t: TestContext, verb: string, ...args: string[]): TerminalProgram =>
    startInTerminal(t, client.command(), [...client.before(), verb, ...client.after(), ...args]);

  for (const transport of ['spdy', 'websocket']) {
    test(`${client.name} exec -it over ${transport}: a shell, sizes, Ctrl-C, an exit code`, {
      skip,
    }, async (t) => {
      const shell = start(t, 'exec', '-i', '-t', '--transport', transport, containerId, 'sh');
      await shell.output.until(/[#$] /);
      shell.type('echo $((40 + 2)) $TERM\r');
      await shell.output.until(/\n42 xterm\r\n/);
      shell.resize(31, 97);
      await until(
        'the size in the container',
        () => {
          shell.type('stty size\r');
          return Promise.resolve(shell.output.text);
        },
        (seen) => /\n31 97\r\n/.test(seen),
      );
      shell.type('sleep 100; echo after=$?\r');
      await until(
        'the sleep is interrupted',
        () => {
          shell.type('\x03');
          return Promise.resolve(shell.output.text);
        },
        (seen) => /\^C/.test(seen),
      );
      shell.type('\rexit 7\r');
      const exitCode = await shell.exitCode;
      // crictl tells every code by 1 and a text.
      assert.equal(exitCode, client.name === 'gantry' ? 7 : 1, shell.output.text);
      if (client.name === 'crictl') {
        assert.match(shell.output.text, /exit code 7/);
      }
    });
  }

  const plain = (verb: string, ...args: string[]): string[] => [
    ...client.before(),
    verb,
    ...client.after(),
    ...args,
  ];

  test(`${client.name} exec without a terminal: outputs apart, what is piped, an exit code`, {
    skip,
  }, async () => {
    const script = 'cat; echo err >&2; exit 9';
    const { exitCode, stdout, stderr } = await run(
      client.command(),
      plain('exec', '-i', containerId, 'sh', '-c', script),
      { stdin: Buffer.from('piped\n'), timeoutMs: 60_000 },
    );
    assert.equal(stdout.toString(), 'piped\n');
    assert.match(stderr.toString(), /^err$/m);
    assert.equal(exitCode, client.name === 'gantry' ? 9 : 1);
  });

  const refused = client.name === 'crictl' && 'crictl itself wants -i with -t';
  test(`${client.name} exec -t: a terminal without input`, { skip: refused }, async (t) => {
    const script = '[ -t 1 ] && echo terminal';
    const program = start(t, 'exec', '-t', containerId, 'sh', '-c', script);
    await program.output.until(/terminal\r\n/);
    assert.equal(await program.exitCode, 0);
  });

  test(`${client.name} attach without a terminal: what is piped reaches the container`, {
    skip,
  }, async (t) => {
    count += 1;
    const id = await startContainer(
      stack,
      pod,
      shellContainer(`plain${count}`, 'while read a; do echo "got $a"; done', { stdin: true }),
    );
    using input = openInput();
    const program = startProcess(client.command(), plain('attach', '-i', id), {
      stdio: [input.fd, 'output', 'output'],
    });
    t.after(() => {
      program.kill();
    });
    program.output(2).resume();
    const output = new Transcript(program.output(1));
    input.stream.write('word\n');
    await output.until('got word\n');
  });

  test(`${client.name} attach: what is typed reaches the container, and leaving does not end it`, {
    skip,
  }, async (t) => {
    count += 1;
    const id = await startContainer(
      stack,
      pod,
      shellContainer(`tty${count}`, 'while read a; do echo "got $a"; done', {
        stdin: true,
        tty: true,
      }),
    );
    const program = start(t, 'attach', '-i', '-t', id);
    await until(
      'an answer',
      () => {
        program.type('word\r');
        return Promise.resolve(program.output.text);
      },
      (seen) => /got word\r\n/.test(seen),
    );
    if (client.name === 'gantry') {
      program.type('\x10\x11');
      assert.equal(await program.exitCode, 0);
    } else {
      program.kill('SIGKILL');
      await program.exitCode;
    }
    const { status } = await stack.runtime.containerStatus({ containerId: id });
    assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
  });

  for (const transport of ['spdy', 'websocket']) {
    test(`${client.name} port-forward over ${transport}: a page through a local port`, {
      skip,
    }, async (t) => {
      const port = await freePort();
      const program = start(
        t,
        'port-forward',
        ...['--transport', transport, pod.podSandboxId, `${port}:8080`],
      );
      await program.output.until(/orwarding/);
      for (let i = 0; i < 3; i++) {
        const socket = connect(port, '127.0.0.1');
        await once(socket, 'connect');
        socket.write('GET / HTTP/1.0\r\n\r\n');
        assert.match(await text(socket), /200 OK.*page\n$/s);
      }
    });
  }
}

test('gantry exec shows outputs as they come and apart, reads what is piped, and passes the code on', async () => {
  const { exitCode, stdout, stderr } = await stack.gantry(
    ...['exec', containerId, 'sh', '-c', 'echo out; echo err >&2; exit 9'],
  );
  assert.deepEqual([exitCode, stdout, stderr], [9, 'out\n', 'err\n']);
  const missing = await stack.gantry('exec', containerId, '/no/such');
  assert.equal(missing.exitCode, 1);
  assert.match(missing.stderr, /^gantry: .*\/no\/such/);
});

/** gantry behind a shell that has the terminal as its controlling one, in the mode of a login. */
function startInLogin(t: TestContext, script: string, ...args: string[]): TerminalProgram {
  const gantry = join(dirname(import.meta.dirname), 'gantry');
  return startInTerminal(t, 'setsid', [
    ...['--ctty', '--wait', 'sh', '-c', `stty sane; ${script}`, gantry, ...args],
  ]);
}

test('gantry exec -it shows what is written byte for byte, and leaves the terminal as it was', async (t) => {
  const program = startInLogin(
    t,
    'was=$(stty -g); "$0" "$@"; [ "$(stty -g)" = "$was" ] && echo restored',
    ...['exec', '--config', stack.configFile, '-i', '-t', containerId],
    ...['sh', '-c', "stty raw; printf 'a\\nb\\r\\nc\\n'; sleep 0.1; stty sane; echo; echo end"],
  );
  await program.output.until(/restored\r\n/);
  assert.match(program.output.text, /^a\nb\r\nc\n\r\nend\r\nrestored\r\n$/);
});

test("gantry exec -t without input ends by Ctrl-C, which is nobody else's then", async (t) => {
  const program = startInLogin(
    t,
    'trap : INT; "$0" "$@"; echo "code=$?"',
    ...['exec', '--config', stack.configFile, '-t', containerId],
    ...['sh', '-c', 'echo begun; exec sleep 1000'],
  );
  await program.output.until(/begun/);
  program.type('\x03');
  await program.output.until(/code=130/);
});
