import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { detectCgroups, findTool, removeCgroup } from '@gantry/host';
import type { ExecTarget } from './ports.ts';

/** A real container for tests: busybox, asleep. */
export interface BusyboxContainer {
  readonly target: ExecTarget;
  /** Commands of the processes in it, its first one included. */
  readonly processes: () => string[];
}

/** The OCI runtimes that are tried. */
export type RuntimeName = 'runc' | 'crun';

/** Why a real container can't be made here; false when it can. */
export async function whyNoContainer(runtime: RuntimeName): Promise<string | false> {
  if (process.getuid?.() !== 0) {
    return 'needs root';
  }
  if (runtime === 'crun' && (await detectCgroups()).version === 'hybrid') {
    return 'crun refuses a hybrid cgroup host';
  }
  const missing = [runtime, 'busybox'].filter((tool) => findTool(tool) === undefined);
  return missing.length > 0 && `needs ${missing.join(' and ')}`;
}

/** Starts one; it is gone after the test `t`. */
export function startBusyboxContainer(
  t: { after(fn: () => Promise<void>): void },
  name: RuntimeName,
): BusyboxContainer {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-exec-'));
  const cgroup = `/gantry-test-${randomBytes(6).toString('hex')}`;
  const id = `test-${randomBytes(8).toString('hex')}`;
  const runtime = findTool(name) ?? name;
  const runtimeArgs = ['--root', join(dir, 'state')];
  t.after(async () => {
    // Not synchronously: the first process can't end while a child of ours in its pid namespace waits to be reaped.
    const remove = () => promisify(execFile)(runtime, [...runtimeArgs, 'delete', '--force', id]);
    // It waits ten seconds for the processes to end, which may be too short.
    await remove().catch(remove);
    await removeCgroup(cgroup);
    rmSync(dir, { recursive: true, force: true });
  });

  makeRoot(join(dir, 'rootfs'));
  const spec = specOf(dir, runtime, `${cgroup}/${id}`);
  writeFileSync(join(dir, 'config.json'), JSON.stringify(spec));
  execFileSync(runtime, [...runtimeArgs, 'run', '--detach', '--bundle', dir, id], {
    stdio: 'ignore',
  });
  return {
    target: {
      containerId: id,
      runtimePath: runtime,
      runtimeArgs,
      pid: 0,
      processJson: new TextEncoder().encode(JSON.stringify(spec.process)),
    },
    processes: () => {
      const pids = execFileSync(runtime, [...runtimeArgs, 'ps', '--format', 'json', id]);
      return (JSON.parse(pids.toString()) as number[]).flatMap((pid) => {
        try {
          return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim()];
        } catch {
          return []; // It has ended since.
        }
      });
    },
  };
}

interface Spec {
  process: { args: string[]; env: string[]; terminal: boolean };
  root: { readonly: boolean };
  linux: { cgroupsPath: string };
}

function specOf(dir: string, runtime: string, cgroupsPath: string): Spec {
  execFileSync(runtime, ['spec', '--bundle', dir]);
  const spec = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')) as Spec;
  spec.process.args = ['/bin/sleep', '10000'];
  spec.process.env.push('GREETING=hello');
  spec.process.terminal = false;
  spec.root.readonly = false;
  spec.linux.cgroupsPath = cgroupsPath;
  return spec;
}

const applets = ['cat', 'echo', 'head', 'id', 'kill', 'pwd', 'sh', 'sleep', 'true', 'wc', 'yes'];

function makeRoot(root: string): void {
  for (const directory of ['bin', 'proc', 'dev', 'sys', 'tmp']) {
    mkdirSync(join(root, directory), { recursive: true });
  }
  const busybox = findTool('busybox') ?? 'busybox';
  copyFileSync(busybox, join(root, 'bin/busybox'));
  for (const library of librariesOf(busybox)) {
    mkdirSync(join(root, dirname(library)), { recursive: true });
    copyFileSync(library, join(root, library));
  }
  for (const applet of applets) {
    symlinkSync('busybox', join(root, 'bin', applet));
  }
}

function librariesOf(program: string): string[] {
  try {
    const lines = execFileSync('ldd', [program], { stdio: ['ignore', 'pipe', 'ignore'] });
    return lines.toString().match(/\/\S+/g) ?? [];
  } catch {
    // Statically linked.
    return [];
  }
}
