import assert from 'node:assert/strict';
import { test } from 'node:test';
import { routeTable } from './route-table.ts';

const byOwner = (owner: string): string[] =>
  [...routeTable].filter(([, route]) => route.owner === owner).map(([method]) => method);

test('commands and streams go to stream-server', () => {
  assert.deepEqual(byOwner('stream'), [
    'runtime.v1.RuntimeService/ExecSync',
    'runtime.v1.RuntimeService/Exec',
    'runtime.v1.RuntimeService/Attach',
    'runtime.v1.RuntimeService/PortForward',
  ]);
});

test('images go to image-service', () => {
  const methods = byOwner('image');
  assert.ok(methods.includes('runtime.v1.ImageService/PullImage'));
  assert.ok(methods.includes('gantry.image.v1.ImageImport/ImportImage'));
  assert.equal(
    methods.every((m) =>
      /^(runtime\.v1\.ImageService|gantry\.image\.v1\.Image(Import|Admin))\//.test(m),
    ),
    true,
  );
});

test('all else of the runtime goes to sandbox-service', () => {
  const methods = byOwner('sandbox');
  assert.ok(methods.includes('runtime.v1.RuntimeService/Version'));
  assert.ok(methods.includes('runtime.v1.RuntimeService/GetContainerEvents'));
  assert.ok(methods.includes('gantry.sandbox.v1.Diagnostics/Explain'));
});

test('what services ask of each other is not on the socket', () => {
  const methods = [...routeTable.keys()].join('\n');
  assert.equal(/RootFilesystems|Targets/.test(methods), false);
});
