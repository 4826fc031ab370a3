import { lstat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { quote, RuntimeError } from '@gantry/errors';
import type { ContainerConfig, ContainerMetadata, ImageSpec, Mount } from '@gantry/proto';
import { checkName, checkPath, checkPathLength } from '../client-text.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { isImageVolume } from './image-volumes.ts';

/** The longest name of a file (NAME_MAX). */
const maxPartBytes = 255;

/** A container's config with what the CRI demands of it. */
export type CheckedContainerConfig = ContainerConfig & {
  readonly metadata: ContainerMetadata;
  readonly image: ImageSpec;
};

/** Throws `invalid-argument` for a config that no container can be made of; nothing is changed then. */
export function checkContainerConfig(config: ContainerConfig | undefined): CheckedContainerConfig {
  const { metadata, image } = config ?? {};
  if (config === undefined || metadata === undefined) {
    throw invalid('config.metadata: missing');
  }
  checkName('create container: config.metadata.name', metadata.name);
  const { name } = metadata;
  if (image === undefined || image.image === '') {
    throw invalid('config.image.image: must not be empty', name);
  }
  for (const { containerPath } of config.devices) {
    if (containerPath !== '') {
      checkPath(`create container ${name}: config.devices: container_path`, containerPath);
    }
  }
  checkLogPath(config.logPath, name);
  for (const mount of config.mounts) {
    checkImageVolume(mount, name);
  }
  return { ...config, metadata, image };
}

/** It becomes a file below the log directory of the pod. */
function checkLogPath(logPath: string, name: string): void {
  const refuse = (why: string): never => {
    throw invalid(`config.log_path: ${quote(logPath)} ${why}`, name);
  };
  if (logPath === '') {
    return;
  }
  const parts = logPath.split('/');
  if (logPath.includes('\0') || parts.includes('..')) {
    refuse('leaves the log directory of the pod');
  }
  if (['', '.'].includes(parts.at(-1) ?? '')) {
    refuse('is no file');
  }
  if (parts.some((part) => Buffer.byteLength(part) > maxPartBytes)) {
    refuse(`has a part that is longer than ${String(maxPartBytes)} bytes`);
  }
}

function checkImageVolume(mount: Mount, name: string): void {
  const field = `config.mounts: ${quote(mount.containerPath)}`;
  if (!isImageVolume(mount)) {
    if (mount.imageSubPath !== '') {
      throw invalid(`${field}: image_sub_path is given without an image`, name);
    }
    return;
  }
  checkPathLength(`create container ${name}: ${field}: image_sub_path`, mount.imageSubPath);
  if (mount.hostPath !== '') {
    throw invalid(`${field}: an image volume takes no host_path`, name);
  }
  if (!mount.readonly) {
    throw invalid(`${field}: an image volume must be readonly`, name);
  }
}

/** Where the log of a container goes; undefined where pod or container name no place, and it is discarded. */
export function logPathOf(sandbox: Sandbox, config: ContainerConfig): string | undefined {
  const { logDirectory } = sandbox.config;
  if (logDirectory === '' || config.logPath === '') {
    return undefined;
  }
  if (isAbsolute(config.logPath)) {
    throw invalid(
      `config.log_path: ${quote(config.logPath)} must be relative`,
      config.metadata?.name,
    );
  }
  return join(logDirectory, config.logPath);
}

/**
 * Throws `invalid-argument` where a link stands on the way from the pod's log
 * directory to a container's log: a container that may write there (a mount of
 * the node's logs) could have any file of the host written.
 */
export async function refuseLogLinks(sandbox: Sandbox, config: ContainerConfig): Promise<void> {
  let path = sandbox.config.logDirectory;
  if (path === '') {
    return;
  }
  for (const part of config.logPath.split('/').filter((name) => name !== '')) {
    path = join(path, part);
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined) {
      return;
    }
    if (stats.isSymbolicLink()) {
      throw invalid(`config.log_path: ${quote(path)} is a symbolic link`, config.metadata?.name);
    }
  }
}

function invalid(message: string, name?: string): RuntimeError {
  const doing = name === undefined ? 'create container' : `create container ${name}`;
  return new RuntimeError('invalid-argument', `${doing}: ${message}`);
}
