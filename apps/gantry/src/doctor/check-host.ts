import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import type { Config } from '@gantry/config';
import { messageOf } from '@gantry/errors';
import { mountOverlay, statFilesystem, unmount } from '@gantry/host';
import { humanSize } from '../output/size.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const oldestKernel = [5, 10] as const;
const leastNode = 24;
const lowShare = 0.1;

/** Rights, kernel, Node. */
export function checkBasics(): Finding[] {
  const isRoot = process.getuid?.() === 0;
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const isOld = major < oldestKernel[0] || (major === oldestKernel[0] && minor < oldestKernel[1]);
  const node = process.versions.node;
  return [
    isRoot ? ok('root', 'yes') : fail('root', 'no', 'run it with sudo: some checks below need it'),
    isOld
      ? fail('kernel', release(), `Linux ${oldestKernel.join('.')} or newer is needed`)
      : ok('kernel', release()),
    Number(node.split('.')[0]) >= leastNode
      ? ok('node', node)
      : fail('node', node, 'start it by ./gantry, which brings its own Node'),
  ];
}

/** Mounts an overlay where images are kept: the file system there must carry one. */
export async function checkOverlay(config: Config): Promise<Finding> {
  const check = 'overlay';
  if (process.getuid?.() !== 0) {
    return warn(check, 'not tried', 'run it with sudo');
  }
  let dir: string | undefined;
  try {
    await mkdir(config.root_dir, { recursive: true, mode: 0o711 });
    dir = await mkdtemp(join(config.root_dir, 'doctor-'));
    const at = (name: string): string => join(dir ?? '', name);
    for (const name of ['lower', 'upper', 'work', 'target']) {
      await mkdir(at(name));
    }
    await mountOverlay({
      lowerDirs: [at('lower')],
      upperDir: at('upper'),
      workDir: at('work'),
      target: at('target'),
    });
    await unmount(at('target'));
    return ok(check, `mounts in ${config.root_dir}`);
  } catch (error) {
    return fail(
      check,
      messageOf(error),
      `put root_dir on ext4 or xfs, and load the module: modprobe overlay`,
    );
  } finally {
    if (dir !== undefined) {
      await rm(dir, { recursive: true, force: true });
    }
  }
}

/** Room for images and containers, in bytes and in inodes. */
export async function checkDisk(config: Config): Promise<Finding[]> {
  const usage = await usageOf(config.root_dir);
  const bytes = `${humanSize(usage.availableBytes)} of ${humanSize(usage.totalBytes)} free at ${config.root_dir}`;
  const inodes = `${usage.freeInodes} of ${usage.totalInodes} free`;
  const fix = 'make room: ./gantry images, ./gantry rmi';
  return [
    usage.availableBytes < usage.totalBytes * lowShare
      ? warn('disk', bytes, fix)
      : ok('disk', bytes),
    // Some file systems (btrfs) make inodes as they need them, and count none.
    usage.totalInodes > 0 && usage.freeInodes < usage.totalInodes * lowShare
      ? warn('inodes', inodes, fix)
      : ok('inodes', inodes),
  ];
}

/** Of the directory or, before the first start, of the nearest one above that is there. */
async function usageOf(path: string): ReturnType<typeof statFilesystem> {
  try {
    return await statFilesystem(path);
  } catch (error) {
    if (path === '/') {
      throw error;
    }
    return usageOf(dirname(path));
  }
}
