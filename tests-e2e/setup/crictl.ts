import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, stderr } from 'node:process';

const version = '1.36.0';

/**
 * Builds crictl once for this user and gives its path; undefined where there
 * is no Go toolchain. It is built from a module of its own that requires the
 * version, because `go install pkg@version` also wants the list of versions.
 * Throws when there is a toolchain and the build fails.
 */
export async function buildCrictl(): Promise<string | undefined> {
  const go = ['go', '/usr/local/go/bin/go'].find(
    (command) => spawnSync(command, ['version']).status === 0,
  );
  if (go === undefined) {
    return undefined;
  }
  const cache = join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'gantry-tests');
  const path = join(cache, `crictl-${version}`);
  if (existsSync(path)) {
    return path;
  }
  stderr.write(`e2e: building crictl ${version} (once, about two minutes) ...\n`);
  const scratch = mkdtempSync(join(tmpdir(), 'crictl-'));
  try {
    writeFileSync(
      join(scratch, 'go.mod'),
      `module scratch\n\ngo 1.24\n\nrequire sigs.k8s.io/cri-tools v${version}\n`,
    );
    const built = spawnSync(
      go,
      ['build', '-mod=mod', '-o', 'crictl', 'sigs.k8s.io/cri-tools/cmd/crictl'],
      { cwd: scratch, encoding: 'utf8' },
    );
    if (built.status !== 0) {
      throw new Error(`build crictl ${version}: ${built.stderr.trim()}`);
    }
    mkdirSync(cache, { recursive: true });
    renameOrCopy(join(scratch, 'crictl'), path);
    return path;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function renameOrCopy(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch {
    // Another file system: copy beside the goal, so that no half file is ever found.
    spawnSync('cp', [from, `${to}.new`]);
    renameSync(`${to}.new`, to);
  }
}
