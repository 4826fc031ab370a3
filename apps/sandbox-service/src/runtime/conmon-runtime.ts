import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { kindOf, messageOf, RuntimeError } from '@gantry/errors';
import { findTool, identifyProcess, missingTool, removeCgroup, signalProcess } from '@gantry/host';
import type { OciResources } from '@gantry/oci';
import { withSpan } from '@gantry/telemetry';
import type {
  CallOptions,
  ContainerExit,
  ContainerLaunch,
  ProcessId,
  Runtime,
  RuntimeHandler,
} from '../ports.ts';
import { type CheckpointPaths, checkpoint, whyOf } from './checkpoint.ts';
import { conmonArguments } from './conmon-arguments.ts';
import { readBundleFacts } from './container-cgroup.ts';
import { deleteByHand, deleteByRuntime, knows, toolOf } from './delete-container.ts';
import {
  endUnfinishedCreate,
  killFirst,
  killMakers,
  killStragglers,
  monitorOf,
  waitForMonitor,
} from './end-processes.ts';
import { ExitDirectory } from './exit-directory.ts';
import { readExit } from './exit-record.ts';
import { watchExits } from './exit-watcher.ts';
import { type LaunchRecord, LaunchRecords } from './launch-record.ts';
import { prepareLogFile } from './log-file.ts';
import { findMonitor } from './monitor.ts';
import { takeBackNullDevice } from './null-device.ts';
import { ociFailure, runOci, runtimeRootOf } from './oci-command.ts';
import { OomKills } from './oom-kills.ts';
import { reopenLog } from './reopen-log.ts';
import { runtimeWords } from './runtime-words.ts';
import { type ConmonReport, type SpawnConmonOptions, spawnConmon } from './spawn-conmon.ts';
import { updateLimits } from './update-limits.ts';

export interface ConmonRuntimeOptions {
  /** Volatile. Holds `runtimes/<handler>`, `exits` and `launches`. */
  readonly stateDir: string;
  /** Path of conmon, or a name that is looked up in PATH. */
  readonly conmon: string;
  /** Exit records get a tmpfs of this size for themselves; without it they lie in `stateDir`. */
  readonly exitBytes?: number;
}

/** What conmon and the runtime put into a bundle; runc writes its pid file under a name with a dot first. */
const bundleFiles = ['attach', 'ctl', 'winsz', 'pidfile', '.pidfile', 'conmon.pid', 'oom', 'exit'];

/** Opens the runtime under `stateDir`, where containers of an earlier process may be running. */
export async function openConmonRuntime(options: ConmonRuntimeOptions): Promise<Runtime> {
  const launches = join(options.stateDir, 'launches');
  const exits = new ExitDirectory(exitDirOf(options.stateDir), { ownBytes: options.exitBytes });
  await mkdir(launches, { recursive: true, mode: 0o700 });
  await exits.ensure();
  return new ConmonRuntime(options, exits, new LaunchRecords(launches));
}

/** Lets go of the tmpfs of the exit records, if no record lies in it: for when no container is left. */
export async function closeExitDirectory(stateDir: string): Promise<void> {
  await new ExitDirectory(exitDirOf(stateDir)).release();
}

function exitDirOf(stateDir: string): string {
  return join(stateDir, 'exits');
}

class ConmonRuntime implements Runtime {
  readonly #options: ConmonRuntimeOptions;
  readonly #exits: ExitDirectory;
  readonly #launches: LaunchRecords;
  readonly #oomKills = new OomKills();

  constructor(options: ConmonRuntimeOptions, exits: ExitDirectory, launches: LaunchRecords) {
    this.#options = options;
    this.#exits = exits;
    this.#launches = launches;
  }

  async create(
    launch: ContainerLaunch,
    options: CallOptions = {},
  ): Promise<{ init: ProcessId; monitor: ProcessId }> {
    const { id, handler, bundleDir } = launch;
    const doing = `create container ${id}`;
    if (!/^[\w-]+$/.test(id)) {
      throw new RuntimeError('invalid-argument', `${doing}: not a container id`);
    }
    const root = runtimeRootOf(this.#options.stateDir, handler.name);
    const args = conmonArguments(launch, { runtimeRoot: root, exitDir: this.#exits.path });
    const facts = readBundleFacts(bundleDir);
    const { cgroupPath } = facts;
    const record = {
      id,
      handler: handler.name,
      runtimePath: handler.path,
      bundleDir,
      ...facts,
      ...(cgroupPath && { unclaimedOomKills: this.#oomKills.unclaimed(cgroupPath) }),
    };
    mkdirSync(root, { recursive: true, mode: 0o700 });
    await this.#exits.ensure();
    if (launch.logPath !== undefined) {
      prepareLogFile(launch.logPath);
    }
    await this.#launches.write(record);
    try {
      return await withSpan('conmon create', spanAttributes(handler, id), () =>
        this.#launch(launch, args, doing, options.signal),
      );
    } catch (error) {
      await this.#undoCreate(launch, record, error);
      throw options.signal?.aborted === true
        ? new RuntimeError(kindOf(options.signal.reason), doing, { cause: error })
        : error;
    }
  }

  async #launch(
    launch: ContainerLaunch,
    args: readonly string[],
    doing: string,
    signal: AbortSignal | undefined,
  ): Promise<{ init: ProcessId; monitor: ProcessId }> {
    const { bundleDir, handler } = launch;
    const path = findTool(this.#options.conmon);
    if (path === undefined) {
      throw new RuntimeError(
        'failed-precondition',
        `${doing}: ${missingTool(this.#options.conmon)}`,
      );
    }
    const report = await this.#runConmon({ path, args, bundleDir, tty: launch.tty, signal });
    if ('failure' in report) {
      const words = runtimeWords(report.failure) || 'failed without a word';
      const { restoreFrom } = launch;
      const verb = restoreFrom === undefined ? 'create' : 'restore';
      const why = restoreFrom === undefined ? '' : await whyOf(bundleDir, 'restore.log');
      throw new RuntimeError('internal', `${doing}: ${handler.name} ${verb}: ${words}${why}`);
    }
    const init = await identifyProcess(report.pid);
    const monitor = await findMonitor(bundleDir);
    if (init === undefined || monitor === undefined) {
      const gone = init === undefined ? `its first process ${report.pid}` : 'its conmon';
      throw new RuntimeError('internal', `${doing}: ${gone} is gone already`);
    }
    return { init, monitor };
  }

  async #runConmon(options: SpawnConmonOptions): Promise<ConmonReport> {
    try {
      return await spawnConmon(options);
    } finally {
      await takeBackNullDevice();
    }
  }

  /** Leaves nothing of a failed create; a failure to do so is added to the error's message. */
  async #undoCreate(
    { handler, bundleDir }: ContainerLaunch,
    record: LaunchRecord,
    error: unknown,
  ): Promise<void> {
    try {
      await killMakers(`container ${record.id}`, bundleDir);
      await killStragglers(`container ${record.id}`, record);
      const root = runtimeRootOf(this.#options.stateDir, handler.name);
      const tool = toolOf(handler, record);
      if (tool !== undefined) {
        await runOci(tool, root, ['delete', '--force', record.id]);
      }
      if (record.cgroupPath !== undefined) {
        await removeCgroup(record.cgroupPath);
      }
      this.#forget(record.id, record);
    } catch (cause) {
      throw new RuntimeError(kindOf(error), `${messageOf(error)}; and undo it`, { cause });
    }
  }

  async start(handler: RuntimeHandler, id: string, options: CallOptions = {}): Promise<void> {
    const root = runtimeRootOf(this.#options.stateDir, handler.name);
    const result = await runOci(handler, root, ['start', id], options.signal);
    if (result.exitCode !== 0) {
      throw ociFailure(`start container ${id}`, handler, 'start', result);
    }
  }

  update(
    handler: RuntimeHandler,
    id: string,
    limits: OciResources,
    options?: CallOptions,
  ): Promise<void> {
    const root = runtimeRootOf(this.#options.stateDir, handler.name);
    return updateLimits(handler, root, id, limits, options);
  }

  checkpoint(
    handler: RuntimeHandler,
    id: string,
    paths: CheckpointPaths,
    options?: CallOptions,
  ): Promise<void> {
    const root = runtimeRootOf(this.#options.stateDir, handler.name);
    return checkpoint(handler, root, id, paths, options);
  }

  signal(init: ProcessId, signal: number): Promise<boolean> {
    return signalProcess(init, signal);
  }

  async killAll(
    handler: RuntimeHandler,
    id: string,
    init?: ProcessId,
    monitor?: ProcessId,
  ): Promise<void> {
    const what = `container ${id}`;
    this.#oomKills.willKill(id);
    const record = this.#launches.read(id);
    const isCutOff = init === undefined && (await endUnfinishedCreate(what, record?.bundleDir));
    const holder = monitor ?? (await monitorOf(record));
    const first = init ?? (await this.#findInit(toolOf(handler, record), id));
    if (first !== undefined) {
      await killFirst(what, first, record);
    }
    // With the first process the kernel ends all others, where the container is whole.
    const isOver = first !== undefined && !isCutOff && record?.ownPids;
    if (record !== undefined && isOver !== true) {
      await killStragglers(what, record);
    }
    if (holder !== undefined) {
      await waitForMonitor(what, holder);
    }
  }

  /** The first process as the runtime knows it; undefined when it has none that lives, and without a runtime. */
  async #findInit(handler: RuntimeHandler | undefined, id: string): Promise<ProcessId | undefined> {
    if (handler === undefined) {
      return undefined;
    }
    const root = runtimeRootOf(this.#options.stateDir, handler.name);
    const result = await runOci(handler, root, ['state', id]);
    if (result.exitCode !== 0) {
      return undefined;
    }
    const state: unknown = JSON.parse(result.stdout.toString());
    const pid = typeof state === 'object' && state !== null && 'pid' in state ? state.pid : 0;
    return typeof pid === 'number' && pid > 0 ? identifyProcess(pid) : undefined;
  }

  async delete(handler: RuntimeHandler, id: string): Promise<void> {
    const root = runtimeRootOf(this.#options.stateDir, handler.name);
    const record = this.#launches.read(id);
    const tool = toolOf(handler, record);
    let isWhole = false;
    if (record !== undefined || (await knows(root, id))) {
      isWhole =
        tool === undefined
          ? await deleteByHand(root, id, record)
          : await deleteByRuntime(tool, root, id, record);
    }
    if (record?.cgroupPath !== undefined && !isWhole) {
      await removeCgroup(record.cgroupPath);
    }
    this.#forget(id, record);
  }

  /** Removes every file that a launch has made; the record goes last. */
  #forget(id: string, record?: LaunchRecord): void {
    this.#oomKills.forget(id, record?.cgroupPath);
    removeFiles(this.#exits.path, [id]);
    if (record?.bundleDir !== undefined) {
      removeFiles(record.bundleDir, bundleFiles);
    }
    this.#launches.remove(id);
  }

  async reopenLog(bundleDir: string, logPath: string): Promise<void> {
    await reopenLog({ bundleDir, logPath, monitor: await findMonitor(bundleDir) });
  }

  async exitOf(id: string, bundleDir: string): Promise<ContainerExit | undefined> {
    const exit = readExit(this.#exits.path, id, bundleDir);
    if (exit === undefined) {
      return undefined;
    }
    const { cgroupPath, unclaimedOomKills: unclaimedBefore } = this.#launches.read(id) ?? {};
    const ended = { id, exitCode: exit.exitCode, bundleDir, cgroupPath, unclaimedBefore };
    return { ...exit, oomKilled: this.#oomKills.wasKilled(ended) };
  }

  /** Those with a launch record, and those that the runtime has a directory for. */
  async list(handler: RuntimeHandler): Promise<readonly string[]> {
    const root = runtimeRootOf(this.#options.stateDir, handler.name);
    const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
    const directories = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
    return [...new Set([...directories, ...this.#launches.idsOf(handler.name)])].sort();
  }

  watchExits(onExit: (id: string) => void): Promise<AsyncDisposable> {
    return watchExits(this.#exits.path, onExit);
  }
}

/** Also under the temporary names that conmon gives them first: `conmon.pid.KUX6Y3`. */
function removeFiles(dir: string, names: readonly string[]): void {
  const files = existsSync(dir) ? readdirSync(dir) : [];
  for (const file of files.filter((f) => names.some((n) => f === n || f.startsWith(`${n}.`)))) {
    rmSync(join(dir, file), { force: true });
  }
}

function spanAttributes(handler: RuntimeHandler, id: string): Record<string, string> {
  return { 'container.id': id, 'gantry.handler': handler.name };
}
