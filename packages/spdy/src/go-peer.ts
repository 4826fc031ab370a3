import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';

/**
 * For tests: builds the Go program in `directory` (a module with its go.mod)
 * once for this user and gives its path, or the reason why there is none, to
 * skip a test with: no Go, one too old, no network. Throws with the compiler's
 * words when the build fails.
 */
export function buildGoPeer(directory: string): { path: string } | { skip: string } {
  const go = ['go', '/usr/local/go/bin/go'].find(
    (command) => spawnSync(command, ['version']).status === 0,
  );
  if (go === undefined) {
    return { skip: 'no Go toolchain' };
  }
  const files = readdirSync(directory).filter((name) => /\.go$|^go\.mod$/.test(name));
  const hash = createHash('sha256');
  for (const file of files) {
    hash.update(readFileSync(join(directory, file)));
  }
  const cache = join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'gantry-tests');
  const path = join(cache, `go-peer-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(path)) {
    return { path };
  }
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-go-'));
  try {
    for (const file of files) {
      copyFileSync(join(directory, file), join(scratch, file));
    }
    mkdirSync(cache, { recursive: true });
    const built = `${path}.${process.pid}`;
    const { status, stderr } = spawnSync(go, ['build', '-mod=mod', '-o', built, '.'], {
      cwd: scratch,
      encoding: 'utf8',
    });
    if (
      status !== 0 &&
      /dial tcp|no such host|lookup disabled|requires go >=|toolchain/.test(stderr)
    ) {
      return { skip: `the modules of ${directory} can not be had: ${stderr.trim().slice(0, 200)}` };
    }
    if (status !== 0) {
      throw new Error(`build ${directory}: ${stderr.trim()}`);
    }
    renameSync(built, path);
    return { path };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
