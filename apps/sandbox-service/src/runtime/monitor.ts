import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { execPath } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { identifyProcess, type ProcessId } from '@gantry/host';
import { monitorPidFileOf } from './conmon-arguments.ts';

/**
 * The running conmon of a bundle, found by its pid file; undefined when it has ended. Its command
 * line is compared, since the pid may belong to another process by now.
 */
export async function findMonitor(bundleDir: string): Promise<ProcessId | undefined> {
  const pid = readPid(monitorPidFileOf(bundleDir));
  return pid === undefined ? undefined : makerWithPid(pid, bundleDir);
}

/**
 * Every process that makes the container of a bundle, found by a look at all: conmon, also one that
 * has not written its pid file, the runtime, and what it has forked.
 */
export async function searchMakers(bundleDir: string): Promise<readonly ProcessId[]> {
  const found = await Promise.all(allPids().map((pid) => makerWithPid(pid, bundleDir)));
  return found.filter((maker) => maker !== undefined);
}

/** Conmon and the runtime are told the bundle in the same words. */
async function makerWithPid(pid: number, bundleDir: string): Promise<ProcessId | undefined> {
  return readOr(`/proc/${pid}/cmdline`).includes(`\0--bundle\0${bundleDir}\0`)
    ? identifyProcess(pid)
    : undefined;
}

/** The number in a pid file; undefined when there is no such file or no number in it yet. */
export function readPid(file: string): number | undefined {
  const pid = Number.parseInt(readOr(file), 10);
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
}

/** A fork that has not become its program by then never will; other programs with such looks are rare. */
const undecidedMs = 2000;
const lookAgainMs = 5;

/**
 * Waits for the processes that are between fork and exec now. A service that was killed in that
 * moment leaves one, and only when it is conmon does it tell whose.
 */
export async function untilDecided(): Promise<void> {
  const deadline = performance.now() + undecidedMs;
  let undecided = allPids().filter(isUndecided);
  while (undecided.length > 0 && performance.now() < deadline) {
    await delay(lookAgainMs);
    undecided = undecided.filter(isUndecided);
  }
}

/**
 * Before its exec it looks like the Node that forked it, but for its one thread; in the midst of it,
 * it has no command line. Those of the kernel and the dead have no program.
 */
function isUndecided(pid: number): boolean {
  const program = programOf(pid);
  const command = readOr(`/proc/${pid}/cmdline`);
  return (
    program !== undefined &&
    (command === '' || (program === basename(execPath) && statFields(pid)[17] === '1'))
  );
}

function programOf(pid: number): string | undefined {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, '');
  } catch {
    return undefined;
  }
}

/**
 * The live processes in the sessions that these processes lead or have led: `runc init`, which does
 * not say whose it is, stays in that of conmon until it is made.
 */
export function inSessionsOf(leaders: readonly ProcessId[]): readonly ProcessId[] {
  const sessions = new Set(leaders.map(({ pid }) => pid));
  return allPids().flatMap((pid) => {
    const [state = 'X', , , session, ...rest] = statFields(pid);
    const isMember = sessions.has(Number(session)) && !/[ZX]/.test(state);
    return isMember ? [{ pid, startTime: rest[15] ?? '' }] : [];
  });
}

/** proc_pid_stat(5): the fields after the command are state, ppid, pgrp, session, ...; num_threads is the 18th. */
function statFields(pid: number): readonly string[] {
  const text = readOr(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function allPids(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function readOr(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
