export { adoptOrphans, expectDeadOrphans, reapOrphan } from './adopt-orphans.ts';
export { type CgroupOptions, listCgroupProcesses, removeCgroup } from './cgroup.ts';
export {
  type CgroupHierarchy,
  type CgroupLayout,
  cgroupDirectory,
  detectCgroups,
} from './cgroup-layout.ts';
export type { ProcessExit } from './child-reaper.ts';
export { type ConsoleSocket, listenForConsole } from './console-socket.ts';
export { makeDirectoryApart } from './directory-apart.ts';
export { type DirectoryUsage, directoryUsage } from './directory-usage.ts';
export { faultPoint } from './fault-point.ts';
export { labelTree } from './file-label.ts';
export {
  type FilesystemUsage,
  statFilesystem,
  syncDirectory,
  type WriteOptions,
  writeFileAtomic,
} from './files.ts';
export { findTool, missingTool, toolPackage } from './find-tool.ts';
export {
  type IdmappedMount,
  makeMountPoint,
  mountIdmapped,
  mountIdmappedOverlay,
  releaseMounts,
} from './idmapped-mount.ts';
export { makeNode, setTimes, setXattr, syncFilesystem } from './inode.ts';
export { type InputPipe, openInputPipe } from './input-pipe.ts';
export { LendingReader } from './lending-reader.ts';
export { type LockOptions, lockFile, tryLockFile } from './lock-file.ts';
export { bindMount, mountTmpfs } from './mount.ts';
export { type DetachedMount, type ErofsImage, mountErofs, openErofs } from './mount-erofs.ts';
export { type MountInfo, mountInfo } from './mount-info.ts';
export { mountOverlay, type OverlayMount } from './mount-overlay.ts';
export {
  type NamespaceWorker,
  type PinnedNamespaces,
  startNamespaceWorker,
} from './namespace-worker.ts';
export { type IpFamily, type NetnsSockets, startNetnsSockets } from './netns-sockets.ts';
export { type OutputPipe, openOutputPipe } from './output-pipe.ts';
export { identifyProcess, isRunning, type ProcessId, signalProcess } from './process-id.ts';
export { resolveInRoot } from './resolve-in-root.ts';
export { type RunOptions, type RunResult, run } from './run.ts';
export { sealedProgram } from './sealed-program.ts';
export { containerLabelFiles, isKnownLabel, type SelinuxMode, selinuxMode } from './selinux.ts';
export { descriptorOf, hasRoom, SendMark } from './send-mark.ts';
export { connectSeqpacket } from './seqpacket.ts';
export {
  type Owner,
  type StartedProcess,
  type StartOptions,
  type Stdio,
  startProcess,
} from './start-process.ts';
export { hasCode, SystemError } from './system-error.ts';
export { TerminalMaster } from './terminal-master.ts';
export { unmount } from './unmount.ts';
export {
  createUserNamespace,
  type IdRange,
  type OwnedNamespaces,
  tryIdmap,
} from './user-namespace.ts';
export { waitForExit } from './wait-for-exit.ts';
