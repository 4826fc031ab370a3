import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { isKind } from '@gantry/errors';
import { GetExecTargetRequestSchema, GetExecTargetResponseSchema } from '@gantry/proto';
import { runPod, startAlone, startContainer, type TestService } from '../testing.ts';

/** The arguments of the process that an exec would be modelled on. */
async function argsOf({ service }: TestService, containerId: string): Promise<unknown> {
  const handler = service.handlers.get('gantry.sandbox.v1.Targets/GetExecTarget');
  assert.ok(handler?.kind === 'unary');
  const request = create(GetExecTargetRequestSchema, { containerId });
  const answer = await handler.handle(toBinary(GetExecTargetRequestSchema, request), {
    signal: new AbortController().signal,
    method: 'GetExecTarget',
  });
  const { processJson } = fromBinary(GetExecTargetResponseSchema, answer);
  return (JSON.parse(Buffer.from(processJson).toString()) as { args: unknown }).args;
}

test('the process is that of the creation, whatever becomes of config.json', async (t) => {
  const service = await startAlone(t);
  const sandbox = await runPod(service);
  const id = await startContainer(service, sandbox);
  assert.deepEqual(await argsOf(service, id), ['/bin/true']);

  const file = service.world.paths.spec(id);
  assert.match(readFileSync(file, 'utf8'), /true/);
  writeFileSync(file, '{"process":{"args":["other"]}}');
  assert.deepEqual(await argsOf(service, id.slice(0, 12)), ['/bin/true']);

  await service.call('stopContainer', { containerId: id });
  await assert.rejects(argsOf(service, id), (error) => isKind(error, 'failed-precondition'));
});

test('each container has its own', async (t) => {
  const service = await startAlone(t);
  const sandbox = await runPod(service);
  const first = await startContainer(service, sandbox, 'a');
  const second = await startContainer(service, sandbox, 'b');
  writeFileSync(service.world.paths.spec(second), '{"process":{"args":["b"]}}');
  assert.deepEqual(await argsOf(service, first), ['/bin/true']);
  assert.deepEqual(await argsOf(service, second), ['b']);
  assert.deepEqual(await argsOf(service, first), ['/bin/true']);
});
