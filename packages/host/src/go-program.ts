import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { env, pid, stderr } from 'node:process';

/** A Go program that tests drive, built from a module at a fixed version. */
export interface GoProgram {
  /** The file's name in the cache; has the version in it. */
  readonly name: string;
  /** Files of a scratch module, by path; go.mod among them. */
  readonly files: Readonly<Record<string, string>>;
  /** What `go` is told: `build` or `test -c`, and the package. `-o` is added. */
  readonly command: readonly ['build' | 'test', ...string[]];
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * Gives the path of the built program, building it where no earlier run did, in the user's cache. Undefined without a Go
 * toolchain. Throws with the compiler's words when there is one and the build fails.
 */
export function buildGoProgram(program: GoProgram): string | undefined {
  const cache = join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'gantry-tests');
  const path = join(cache, program.name);
  const go = findGo();
  if (go === undefined) {
    return undefined;
  }
  if (existsSync(path)) {
    return path;
  }
  stderr.write(`building ${program.name} (once, up to two minutes) ...\n`);
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-go-'));
  try {
    for (const [file, text] of Object.entries(program.files)) {
      mkdirSync(dirname(join(scratch, file)), { recursive: true });
      writeFileSync(join(scratch, file), text);
    }
    const [verb, ...rest] = program.command;
    const built = spawnSync(go, [verb, '-mod=mod', '-o', 'program', ...rest], {
      cwd: scratch,
      encoding: 'utf8',
      env: { ...env, ...program.environment },
    });
    if (built.status !== 0) {
      throw new Error(`build ${program.name}: ${built.stderr.trim()}`);
    }
    mkdirSync(cache, { recursive: true });
    renameOrCopy(join(scratch, 'program'), path);
    return path;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/**
 * The program whose module is `directory`, or the reason why there is none, to skip a test with: no Go, one too old, no
 * network for its modules. Throws as buildGoProgram when the build fails for another reason.
 */
export function buildGoPeer(directory: string): { path: string } | { skip: string } {
  const names = readdirSync(directory).filter((name) => /\.go$|^go\.mod$/.test(name));
  const files = Object.fromEntries(
    names.map((name) => [name, readFileSync(join(directory, name), 'utf8')]),
  );
  const name = `go-${basename(dirname(directory))}-${hashOf(Object.values(files))}`;
  try {
    const path = buildGoProgram({ name, files, command: ['build', '.'] });
    return path === undefined ? { skip: 'no Go toolchain' } : { path };
  } catch (error) {
    const said = error instanceof Error ? error.message : '';
    if (/dial tcp|no such host|lookup disabled|requires go >=|toolchain/.test(said)) {
      return { skip: `the modules of ${directory} can not be had: ${said.slice(0, 200)}` };
    }
    throw error;
  }
}

/** For the name of a program: one whose source has changed is another one. */
export function hashOf(texts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const text of texts) {
    hash.update(text);
  }
  return hash.digest('hex').slice(0, 16);
}

function findGo(): string | undefined {
  return ['go', '/usr/local/go/bin/go'].find(
    (command) => spawnSync(command, ['version']).status === 0,
  );
}

function renameOrCopy(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch {
    // Another file system: copy beside the goal, so that no half file is ever found.
    const beside = `${to}.${pid}`;
    spawnSync('cp', [from, beside]);
    renameSync(beside, to);
  }
}
