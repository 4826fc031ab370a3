import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { env } from 'node:process';
import { test } from 'node:test';
import type { OciSpec } from '@gantry/oci';
import { NamespaceMode } from '@gantry/proto';

/**
 * Compares each spec as a whole with its file in golden/. After a change that
 * is meant, write them anew with UPDATE_GOLDEN=1 and read the difference.
 */
export function testGoldens(specs: Readonly<Record<string, () => OciSpec>>): void {
  for (const [name, make] of Object.entries(specs)) {
    test(`${name} is as golden/${name}.json says`, () => {
      const file = new URL(`golden/${name}.json`, import.meta.url);
      const text = JSON.stringify(make(), null, 2);
      if (env['UPDATE_GOLDEN']) {
        writeFileSync(file, `${text}\n`);
      }
      assert.deepEqual(JSON.parse(text), JSON.parse(readFileSync(file, 'utf8')));
    });
  }
}

const mapping = [{ containerId: 0, hostId: 100_000, length: 65_536 }];

/** Namespace options of a pod with a user namespace, and of one in the host's namespaces. */
export const inUserNamespace = {
  usernsOptions: { mode: NamespaceMode.POD, uids: mapping, gids: mapping },
};
export const onHost = {
  network: NamespaceMode.NODE,
  pid: NamespaceMode.NODE,
  ipc: NamespaceMode.NODE,
};
