import assert from 'node:assert/strict';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { inspectionService } from './rpc/inspection.ts';
import { container, pod, startTestBroker, type TestBroker } from './testing.ts';

interface Directory {
  readonly path: string;
  readonly file: (name: string, text: string | Buffer, mode?: number) => Promise<void>;
}

async function newDirectory(t: TestContext): Promise<Directory> {
  const { dir } = await startTestBroker(t);
  const path = join(dir, 'launched');
  await mkdir(path);
  return {
    path,
    file: async (name, text, mode = 0o755) => {
      await writeFile(join(path, name), text);
      await chmod(join(path, name), mode);
    },
  };
}

/** As `gantry nri` shows those that were turned away, without the directory. */
async function refusedBy(broker: TestBroker, { path }: Directory): Promise<string[]> {
  const { listPlugins } = inspectionService(broker, broker.host);
  const { plugins = [] } = await listPlugins({} as never, {} as never);
  return plugins.map(({ index = '?', name = '?', origin, state, lastError = '' }) =>
    [`${index}-${name}`, origin, state, lastError.replaceAll(`${path}/`, '')].join(' '),
  );
}

test('operators see each file that was not started and why; none disturbs anybody', async (t) => {
  const directory = await newDirectory(t);
  const { path, file } = directory;
  await file('10-ends', '#!/bin/sh\nexit 3\n');
  await file('11-ends-too', '#!/bin/sh\nexit 3\n');
  await file('12-crashes', '#!/bin/sh\nkill -SEGV $$\n');
  await file('30-wasm', Buffer.from([0, 0x61, 0x73, 0x6d, 1]));
  await file('40-broken', '#!/no/such/interpreter\n');
  await file('50-no-mode', '#!/bin/sh\n', 0o644);
  await file('README', 'no plugin, and not meant as one\n', 0o644);
  await file('noindex', '#!/bin/sh\n');
  await file('60-config', '#!/bin/sh\n');
  await mkdir(join(path, 'conf.d'));
  await mkdir(join(path, 'conf.d', 'config.conf'));
  await symlink('/nowhere', join(path, '70-link'));
  const broker = await startTestBroker(t, {
    plugin_path: path,
    plugin_config_path: join(path, 'conf.d'),
  });
  assert.equal(broker.dispatcher.count, 0);
  assert.deepEqual((await refusedBy(broker, directory)).toSorted(), [
    '10-ends launched refused the plugin exited with code 3',
    '11-ends-too launched refused the plugin exited with code 3',
    '12-crashes launched refused the plugin was killed by SIGSEGV',
    '30-wasm launched refused 30-wasm: WASM plugins are not supported',
    '40-broken launched refused can not be started: spawn 40-broken ENOENT; is the interpreter that its first line names there?',
    '50-no-mode launched refused 50-no-mode: not an executable file; is "chmod +x" missing?',
    '60-config launched refused config conf.d/config.conf: EISDIR: illegal operation on a directory, read',
    "70-link launched refused ENOENT: no such file or directory, stat '70-link'",
    '?-? launched refused noindex: not named <two digits>-<name>: plugin index "noinde": must be two digits',
  ]);
  // The log has their names too.
  assert.match(
    JSON.stringify(broker.logged),
    /"plugin":"12-crashes","error":"the plugin was killed/,
  );
  await broker.dispatcher.adjustContainer(pod('p'), container('c'));
});

test('one that never registers is given up', async (t) => {
  const directory = await newDirectory(t);
  await directory.file('20-hangs', '#!/bin/sh\nexec sleep 1000\n');
  const { path } = directory;
  const limits = { plugin_path: path, plugin_registration_timeout_ms: 300 };
  const broker = await startTestBroker(t, limits);
  assert.deepEqual(await refusedBy(broker, directory), [
    '20-hangs launched refused it has not registered within 300 ms',
  ]);
});
