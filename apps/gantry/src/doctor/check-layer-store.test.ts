import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { completeConfig } from '@gantry/config';
import { testDir } from '../testing-dir.ts';
import { checkLayerStore, layerStoreFinding } from './check-layer-store.ts';

const why = 'mount: no such device';

test('the finding names the store, what the config asks for, and why it is this one', () => {
  assert.deepEqual(layerStoreFinding({ name: 'erofs', wanted: 'auto', objection: '' }, 'in use'), {
    verdict: 'ok',
    check: 'layer store',
    found: 'erofs in use (layer_store = "auto"): a probe has mounted an image',
  });
  const plain = layerStoreFinding(
    { name: 'directories', wanted: 'auto', objection: why },
    'in use',
  );
  assert.equal(plain.verdict, 'warn');
  assert.match(plain.found, /^directories in use .*EROFS can not be mounted here: mount: no such/);
  assert.match(plain.fix ?? '', /Linux 6\.12/);
  const chosen = { name: 'directories', wanted: 'directories', objection: '' };
  assert.equal(layerStoreFinding(chosen, 'in use').verdict, 'ok');
  const refused = layerStoreFinding({ name: 'erofs', wanted: 'erofs', objection: why }, 'in use');
  assert.equal(refused.verdict, 'fail');
});

test('before the first start it is found out, and nothing is left of that', async (t) => {
  const root = join(testDir(t), 'root');
  const of = (layer_store: string) =>
    checkLayerStore(
      completeConfig({
        root_dir: root,
        grpc: { socket: join(testDir(t), 'no.sock') },
        images: { layer_store },
      }),
    );
  assert.equal((await of('directories')).verdict, 'ok');
  assert.equal(existsSync(root), false);
  const { found } = await of('auto');
  assert.match(found, process.getuid?.() === 0 ? /^(erofs|directories) will be used/ : /not tried/);
  assert.deepEqual(existsSync(root) ? readdirSync(root) : [], []);
});
