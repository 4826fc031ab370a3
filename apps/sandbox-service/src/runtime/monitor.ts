import { readdirSync, readFileSync } from 'node:fs';
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

/**
 * The live processes in the sessions that these processes lead or have led: `runc init`, which does
 * not say whose it is, stays in that of conmon until it is made.
 */
export function inSessionsOf(leaders: readonly ProcessId[]): readonly ProcessId[] {
  const sessions = new Set(leaders.map(({ pid }) => pid));
  return allPids().flatMap((pid) => {
    // proc_pid_stat(5): the fields after the command are state, ppid, pgrp, session, ...
    const text = readOr(`/proc/${pid}/stat`);
    const [state = 'X', , , session, ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const isMember = sessions.has(Number(session)) && !/[ZX]/.test(state);
    return isMember ? [{ pid, startTime: rest[15] ?? '' }] : [];
  });
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
