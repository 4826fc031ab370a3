import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execPath } from 'node:process';
import { test } from 'node:test';
import { findTool } from '@gantry/host';
import { endUnfinishedCreate } from './end-processes.ts';

test('what a killed service had forked and is not yet conmon is ended too', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-fork-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const busybox = findTool('busybox') ?? assert.fail('no busybox');
  // As a fork of ours looks before its exec: our program, and one thread.
  const fork = join(dir, basename(execPath));
  await copyFile(busybox, fork);
  const bundleDir = join(dir, 'bundle');
  const script = `echo forked; read -r go; exec ${busybox} sh -c "read -r end" conmon --bundle ${bundleDir} x`;
  const child = spawn(fork, ['sh', '-c', script], {
    argv0: 'busybox',
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  await once(child.stdout, 'data');

  const ending = endUnfinishedCreate('container c1', bundleDir);
  child.stdin.write('go\n');

  assert.equal(await ending, true);
  assert.deepEqual(await exited, [null, 'SIGKILL']);
});
