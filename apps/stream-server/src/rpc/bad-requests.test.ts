import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { messageOf } from '@gantry/errors';
import {
  AttachRequestSchema,
  ExecRequestSchema,
  ExecSyncRequestSchema,
  PortForwardRequestSchema,
} from '@gantry/proto';
import { attach } from './attach.ts';
import { exec } from './exec.ts';
import { execSync } from './exec-sync.ts';
import { portForward } from './port-forward.ts';

/** No request below gets so far as to need any of them. */
function nothing<T>(t: TestContext): T {
  const deny = (): never => assert.fail('it was asked for');
  return new Proxy({}, { get: t.mock.fn(deny) }) as T;
}

type Call = (t: TestContext, id: string) => Promise<unknown>;
const options = { signal: new AbortController().signal };
const calls: Record<string, Call> = {
  'exec without streams': (t, containerId) =>
    exec(nothing(t))(create(ExecRequestSchema, { containerId, cmd: ['a'] }), options),
  'exec with a terminal and an error stream': (t, containerId) =>
    exec(nothing(t))(
      create(ExecRequestSchema, { containerId, cmd: ['a'], tty: true, stderr: true }),
      options,
    ),
  'exec without a command': (t, containerId) =>
    exec(nothing(t))(create(ExecRequestSchema, { containerId, stdout: true }), options),
  'exec with a zero byte': (t, containerId) =>
    exec(nothing(t))(
      create(ExecRequestSchema, { containerId, stdout: true, cmd: ['\0'] }),
      options,
    ),
  'exec sync without a command': (t, containerId) =>
    execSync(nothing(t))(create(ExecSyncRequestSchema, { containerId }), options),
  'attach without streams': (t, containerId) =>
    attach(nothing(t))(create(AttachRequestSchema, { containerId }), options),
  'port-forward of no port': (t, podSandboxId) =>
    portForward(nothing(t))(create(PortForwardRequestSchema, { podSandboxId, port: [0] }), options),
};

for (const [what, call] of Object.entries(calls)) {
  test(`${what} is refused with its id, or as much of it as a reader wants`, async (t) => {
    const id = '0f'.repeat(32);
    await assert.rejects(call(t, id), {
      kind: 'invalid-argument',
      message: new RegExp(`^[a-z -]+ ${id}: `),
    });
    for (const long of ['a'.repeat(1 << 20), 'a\n'.repeat(1 << 19)]) {
      await assert.rejects(call(t, long), (error) => {
        assert.match(
          messageOf(error),
          /^[a-z -]+ "a.{99,199}"\.\.\. \(1048576 letters\): [\w ,]+$/,
        );
        return true;
      });
    }
  });
}
