import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { Worker } from 'node:worker_threads';
import { RuntimeError } from '@gantry/errors';
import { findTool, missingTool } from './find-tool.ts';
import { mountIdmapped } from './idmapped-mount.ts';
import { mountClassic } from './mount-syscalls.ts';
import { removeNamespace } from './namespace-syscalls.ts';
import { hasCode, requireCleanPath } from './system-error.ts';

/** `length` ids from `containerId` on are the ids from `hostId` on outside. */
export interface IdRange {
  readonly containerId: number;
  readonly hostId: number;
  readonly length: number;
}

/** Where namespaces are pinned: a user namespace, and new ones that belong to it. */
export interface OwnedNamespaces {
  readonly user: string;
  /** Its `lo` is up. */
  readonly network?: string | undefined;
  readonly ipc?: string | undefined;
  readonly uts?: string | undefined;
}

const bind = 0x1000; // MS_BIND
const kinds = [
  { key: 'user', flag: '--user', file: 'user' },
  { key: 'network', flag: '--net', file: 'net' },
  { key: 'ipc', flag: '--ipc', file: 'ipc' },
  { key: 'uts', flag: '--uts', file: 'uts' },
] as const;

type Helper = ChildProcessByStdio<Writable, Readable, Readable>;

/**
 * Makes a user namespace with these mappings, and others that it owns, so that its
 * root may change them; each is pinned by a bind mount at its path, whose directory
 * is made too. Only a process with one thread can make one: unshare(1) of
 * util-linux does, and has ended when this resolves. A path that exists is
 * `already-exists` and is left alone; after any other failure nothing is left.
 */
export async function createUserNamespace(
  paths: OwnedNamespaces,
  mappings: { readonly uids: readonly IdRange[]; readonly gids: readonly IdRange[] },
): Promise<void> {
  const doing = `create user namespace ${paths.user}`;
  const pins = kinds.flatMap((kind) => {
    const path = paths[kind.key];
    return path === undefined ? [] : [{ ...kind, path }];
  });
  const tool = findTool('unshare');
  if (tool === undefined) {
    throw new RuntimeError('failed-precondition', `${doing}: ${missingTool('unshare')}`);
  }
  const made: string[] = [];
  try {
    for (const { path } of pins) {
      createPin(path, doing);
      made.push(path);
    }
    const flags = pins.map(({ flag }) => flag);
    await using helper = await startHelper(tool, flags, doing);
    const proc = `/proc/${String(helper.pid)}`;
    writeMap(`${proc}/gid_map`, mappings.gids, doing);
    writeMap(`${proc}/uid_map`, mappings.uids, doing);
    for (const { file, path } of pins) {
      const source = `${proc}/ns/${file}`;
      mountClassic({ source, target: path, type: null, flags: bind, data: null }, doing);
    }
    if (paths.network !== undefined) {
      await raiseLoopback(paths.network, doing);
    }
  } catch (error) {
    made.forEach(removeNamespace);
    throw error;
  }
}

/**
 * Finds out whether user namespaces can be made here and whether the file system of
 * `directory` can be shown through one. Throws as `createUserNamespace` and
 * `mountIdmapped` do; whatever happens, nothing is left, not even for a moment.
 */
export async function tryIdmap(directory: string): Promise<void> {
  const doing = `try to map ids in ${directory}`;
  const tool = findTool('unshare');
  if (tool === undefined) {
    throw new RuntimeError('failed-precondition', `${doing}: ${missingTool('unshare')}`);
  }
  await using helper = await startHelper(tool, ['--user'], doing);
  const proc = `/proc/${String(helper.pid)}`;
  const range = [{ containerId: 0, hostId: 1, length: 1 }];
  writeMap(`${proc}/gid_map`, range, doing);
  writeMap(`${proc}/uid_map`, range, doing);
  await mountIdmapped({ source: directory, userNamespace: `${proc}/ns/user` });
}

/** A process that has made the namespaces and waits in them; disposing ends it and waits for that. */
async function startHelper(
  tool: string,
  flags: readonly string[],
  doing: string,
): Promise<AsyncDisposable & { readonly pid: number }> {
  // `cat` gives back what it gets: then the namespaces are there.
  const child: Helper = spawn(tool, [...flags, '--', 'cat'], { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = once(child, 'close').catch(() => undefined);
  const end = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  // It may be gone before it reads: its exit tells why.
  child.stdin.on('error', () => undefined);
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    words = `${words}${text}`.slice(0, 1000);
  });
  const ready = once(child.stdout, 'data').then(() => true);
  ready.catch(() => undefined);
  child.stdin.write('\n');
  const isReady = await Promise.race([ready, ended.then(() => false)]).catch(() => false);
  if (!isReady || child.pid === undefined) {
    await end();
    throw new RuntimeError('failed-precondition', `${doing}: ${words.trim() || 'unshare failed'}`);
  }
  return { pid: child.pid, [Symbol.asyncDispose]: end };
}

/** user_namespaces(7): the whole map in one write. */
function writeMap(file: string, ranges: readonly IdRange[], doing: string): void {
  const lines = ranges.map((r) => `${r.containerId} ${r.hostId} ${r.length}\n`);
  try {
    writeFileSync(file, lines.join(''), { flag: 'r+' });
  } catch (cause) {
    const refused = hasCode(cause, 'EINVAL', 'EPERM');
    const kind = refused ? 'invalid-argument' : 'internal';
    throw new RuntimeError(kind, `${doing}: map ids: ${lines.join('').trim()}`, { cause });
  }
}

function createPin(path: string, doing: string): void {
  requireCleanPath(path, doing);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
    closeSync(openSync(path, 'wx', 0o444));
  } catch (error) {
    const kind = hasCode(error, 'EEXIST') ? 'already-exists' : 'internal';
    throw new RuntimeError(kind, doing, { cause: error });
  }
}

/** On a thread that goes into the network namespace and ends there. */
async function raiseLoopback(path: string, doing: string): Promise<void> {
  const worker = new Worker(new URL('./loopback-thread.ts', import.meta.url), {
    name: 'loopback',
    execArgv: [],
    workerData: { path, doing },
    trackUnmanagedFds: false,
    resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 1 },
  });
  try {
    await once(worker, 'exit');
  } catch (cause) {
    throw new RuntimeError('internal', `${doing}: bring lo up`, { cause });
  }
}
