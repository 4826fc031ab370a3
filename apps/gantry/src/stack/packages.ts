import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';
import { findTool, run, toolPackage } from '@gantry/host';

/** Something that must be on the host. */
export interface Need {
  readonly tool: string;
  /** The Debian package that has it; undefined for a tool that we do not know. */
  readonly package: string | undefined;
  readonly isThere: () => boolean;
}

/** A program by its name or path. */
export function toolNeed(tool: string): Need {
  return { tool, package: toolPackage(tool), isThere: () => findTool(tool) !== undefined };
}

/** What `gantry up` can't do without under this config. */
export function needsOf(config: Config): Need[] {
  const needs = [
    toolNeed(config.runtimes[config.default_runtime]?.path ?? config.default_runtime),
    toolNeed(config.pods.conmon_path),
    plugin('bridge', config),
    toolNeed('iptables'),
  ];
  return config.nats.url === '' ? [...needs, toolNeed(config.nats.path)] : needs;
}

function plugin(tool: string, config: Config): Need {
  return {
    tool,
    package: toolPackage(tool),
    isThere: () => config.cni.bin_dirs.some((dir) => existsSync(join(dir, tool))),
  };
}

/** A host that has just booted may be busy with upgrades of its own: wait for these, in seconds. */
const lockOptions = ['-o', 'DPkg::Lock::Timeout=300'];
const staleLists =
  /Unable to locate package|no installation candidate|Failed to fetch|Unable to fetch/;

export interface EnsureOptions {
  readonly install: boolean;
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
  /** Debian's policy-rc.d, unless told otherwise. */
  readonly policyFile?: string;
}

/** Checks what is needed; installs what is missing, or throws with the command that does. */
export async function ensurePackages(config: Config, options: EnsureOptions): Promise<void> {
  await ensure(needsOf(config), options);
}

export async function ensure(needs: readonly Need[], options: EnsureOptions): Promise<void> {
  const missing = missingOf(needs);
  if (missing.length === 0) {
    return;
  }
  const unknown = missing.filter((need) => need.package === undefined);
  if (unknown.length > 0) {
    throw new RuntimeError(
      'failed-precondition',
      `${namesOf(unknown)} missing, and no Debian package is known to bring it. Install it, or set its path in config.toml`,
    );
  }
  const packages = [...new Set(missing.flatMap((need) => need.package ?? []))];
  if (!options.install) {
    throw new RuntimeError(
      'failed-precondition',
      `${namesOf(missing)} missing. Install: apt-get install ${packages.join(' ')} (or let gantry do it: gantry up --install)`,
    );
  }
  await install(packages, options);
  const still = missingOf(needs);
  if (still.length > 0) {
    throw new RuntimeError(
      'failed-precondition',
      `${namesOf(still)} still missing after apt-get install ${packages.join(' ')}`,
    );
  }
}

function namesOf(needs: readonly Need[]): string {
  return needs.map((need) => need.tool).join(', ');
}

function missingOf(needs: readonly Need[]): Need[] {
  return needs.filter((need) => !need.isThere());
}

async function install(packages: readonly string[], options: EnsureOptions): Promise<void> {
  if (findTool('apt-get') === undefined) {
    throw new RuntimeError(
      'failed-precondition',
      `install ${packages.join(' ')}: this host has no apt-get. Install them by its own means`,
    );
  }
  options.note(`installing Debian packages: ${packages.join(' ')}`);
  await using _ = await holdDaemons(options.policyFile);
  const args = ['install', '-y', '--no-install-recommends', ...packages];
  let result = await apt([...lockOptions, ...args], options.signal);
  if (!result.ok && staleLists.test(result.said)) {
    options.note('  the package lists are old or missing: apt-get update');
    await apt(['update', '-q'], options.signal);
    result = await apt([...lockOptions, ...args], options.signal);
  }
  if (!result.ok) {
    throw new RuntimeError(
      'failed-precondition',
      `apt-get ${args.join(' ')}: ${result.said}. Mend that, or install them by hand`,
    );
  }
}

/**
 * Keeps packages that bring a daemon from starting it (Debian's policy-rc.d
 * interface): Debian's nats-server would listen on every address. A policy
 * that the host has already stays in force.
 */
async function holdDaemons(policy = '/usr/sbin/policy-rc.d'): Promise<AsyncDisposable> {
  const text = '#!/bin/sh\n# Written by gantry while it installs packages.\nexit 101\n';
  const isOurs = await writeFile(policy, text, { flag: 'wx', mode: 0o755 }).then(
    () => true,
    () => false,
  );
  return {
    [Symbol.asyncDispose]: async () => {
      if (isOurs) {
        await rm(policy, { force: true });
      }
    },
  };
}

async function apt(
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly ok: boolean; readonly said: string }> {
  const { exitCode, stderr } = await run('apt-get', args, {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    signal,
  });
  const lines = stderr.toString().trim().split('\n');
  const complaints = lines.filter((line) => line.startsWith('E: ')).map((line) => line.slice(3));
  return {
    ok: exitCode === 0,
    said: complaints.join('; ') || lines.at(-1) || `exit code ${exitCode}`,
  };
}
