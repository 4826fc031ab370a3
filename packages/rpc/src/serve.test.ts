import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

async function loadedBy(file: string): Promise<string> {
  const path = join(import.meta.dirname, file);
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--input-type=module',
    '--eval',
    `import { registerHooks } from 'node:module';
registerHooks({ load: (url, context, next) => { process.stdout.write(url + '\\n'); return next(url, context); } });
await import(${JSON.stringify(path)});`,
  ]);
  return stdout;
}

test('a server does not load grpc-js', async () => {
  assert.match(await loadedBy('index.ts'), /@grpc\/grpc-js/);
  const loaded = await loadedBy('serve.ts');
  assert.match(loaded, /serve-routes\.ts/);
  assert.doesNotMatch(loaded, /@grpc\/grpc-js/);
});
