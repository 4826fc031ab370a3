import { execFile } from 'node:child_process';
import { access, constants, glob, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { RuntimeError } from '@gantry/errors';
import type { ImageFile } from './layer-tar.ts';

const exec = promisify(execFile);

/** A program of this host's distribution, with what it needs to run in an empty root. */
export interface Program {
  readonly content: Buffer;
  /** Shared libraries and the loader, at the paths where the program looks for them; none when it is static. */
  readonly libraries: readonly ImageFile[];
  /** What the `probe` printed on its standard output. */
  readonly probed: string;
}

export interface ProgramRequest {
  readonly name: string;
  /** Debian packages that hold it, the best first; only downloaded, never installed. */
  readonly packages: readonly string[];
  /** Arguments of a run that shows whether the program will do. */
  readonly probe: readonly string[];
  /** Whether what the probe printed will do. */
  readonly accept: (output: string) => boolean;
  /** Look in the packages only, as if nothing was installed. */
  readonly ignoreInstalled?: boolean;
}

/**
 * Finds a program among the installed ones, else in a Debian package that is
 * downloaded with apt and unpacked into a temporary directory: the host's own
 * set of packages stays as it is. Throws `failed-precondition` that names the
 * packages.
 */
export async function findProgram(request: ProgramRequest): Promise<Program> {
  if (request.ignoreInstalled !== true) {
    for (const dir of ['/usr/bin', '/bin', '/usr/sbin', '/sbin', '/usr/libexec/podman']) {
      const found = await probe(join(dir, request.name), request);
      if (found !== undefined) {
        return found;
      }
    }
  }
  const faults: unknown[] = [];
  for (const name of request.packages) {
    try {
      const found = await fromPackage(name, request);
      if (found !== undefined) {
        return found;
      }
    } catch (error) {
      faults.push(error);
    }
  }
  throw new RuntimeError(
    'failed-precondition',
    `no usable ${request.name} on this host, and none in Debian package ${request.packages.join(' or ')}`,
    { cause: faults[0] },
  );
}

async function fromPackage(name: string, request: ProgramRequest): Promise<Program | undefined> {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-deb-'));
  try {
    // The sandbox user of apt may not write here, and would only warn of it.
    const options = ['-qq', '-o', 'APT::Sandbox::User=root', 'download', name];
    await exec('apt-get', options, { cwd: dir });
    for await (const deb of glob('*.deb', { cwd: dir })) {
      await exec('dpkg-deb', ['-x', join(dir, deb), join(dir, 'root')]);
    }
    for await (const path of glob(`root/{usr/,}{bin,sbin}/${request.name}`, { cwd: dir })) {
      const found = await probe(join(dir, path), request);
      if (found !== undefined) {
        return found;
      }
    }
    return undefined;
  } catch (cause) {
    throw new RuntimeError('failed-precondition', `download Debian package ${name}`, { cause });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function probe(path: string, request: ProgramRequest): Promise<Program | undefined> {
  try {
    await access(path, constants.X_OK);
    const { stdout } = await exec(path, [...request.probe]);
    if (!request.accept(stdout)) {
      return undefined;
    }
    return {
      content: await readFile(path),
      libraries: await librariesOf(path),
      probed: stdout,
    };
  } catch {
    return undefined; // Not there, or not for this machine: the next candidate may do.
  }
}

/** What the loader would map, by the loader's own word: ldd(1). */
async function librariesOf(path: string): Promise<ImageFile[]> {
  let listing: string;
  try {
    listing = (await exec('ldd', [path], { env: { LC_ALL: 'C' } })).stdout;
  } catch {
    return []; // ldd fails for a static program.
  }
  const files: ImageFile[] = [];
  for (const library of parseLdd(listing)) {
    files.push({
      type: 'file',
      path: library,
      content: await readFile(library),
      mode: basename(library).startsWith('ld') ? 0o755 : 0o644,
    });
  }
  return files;
}

/** The absolute paths in the output of ldd(1); the vDSO has none. Throws for a library that is missing. */
export function parseLdd(listing: string): string[] {
  const paths = new Set<string>();
  for (const line of listing.split('\n')) {
    if (line.includes('=> not found')) {
      throw new RuntimeError('failed-precondition', `missing library: ${line.trim()}`);
    }
    const path = /(?:^|\s)(\/\S+) \(0x[0-9a-f]+\)$/.exec(line)?.[1];
    if (path !== undefined) {
      paths.add(path);
    }
  }
  return [...paths].sort();
}
