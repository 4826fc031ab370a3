import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { env, getuid, stderr } from 'node:process';
import { missingPackages, testTools } from '@gantry/host/testing';
import { removeTestCgroups } from './cgroups.ts';
import { buildTestImages } from './images.ts';
import { runIsolated } from './isolate.ts';

const repository = join(import.meta.dirname, '../..');

export interface IsolatedRun {
  /** What its lines begin with. */
  readonly name: string;
  /** The directory is `/tmp/gantry-<short>-...`: paths of sockets have little room. */
  readonly short: string;
  /** Completes `not root: `. */
  readonly needsRoot: string;
  /** Beside those of every test. */
  readonly tools?: readonly string[];
  /** The directory stays, to be looked at. */
  readonly keep?: boolean;
  /**
   * Makes what the namespaces have no network for. Gives what Node runs there, and its variables
   * beside GANTRY_E2E_DIR; or an exit code, when the reason has been told.
   */
  prepare(dir: string): Promise<IsolatedCommand | number> | IsolatedCommand | number;
}

export interface IsolatedCommand {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Checks this host, makes the images, runs in namespaces of its own, and removes what is left. Gives the exit code. */
export async function isolatedRun(run: IsolatedRun): Promise<number> {
  const say = (text: string): boolean => stderr.write(`${run.name}: ${text}\n`);
  if (getuid?.() !== 0) {
    say(`not root: ${run.needsRoot}`);
    return 1;
  }
  const missing = missingPackages([...testTools, ...(run.tools ?? [])]);
  if (missing.length > 0) {
    say(`missing tools: apt-get install ${missing.join(' ')}`);
    return 1;
  }
  const dir = await mkdtemp(`/tmp/gantry-${run.short}-`);
  try {
    const command = await run.prepare(dir);
    if (typeof command === 'number') {
      return command;
    }
    await buildTestImages(join(dir, 'images'));
    return await runIsolated(command.args, {
      cwd: repository,
      env: { ...env, GANTRY_E2E_DIR: dir, ...command.env },
    });
  } finally {
    await removeTestCgroups(dir);
    if (run.keep === true) {
      say(`kept ${dir}`);
    } else {
      await rm(dir, { recursive: true, force: true });
    }
  }
}
