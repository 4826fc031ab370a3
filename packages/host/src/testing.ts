export { buildGoPeer, buildGoProgram, type GoProgram, hashOf } from './go-program.ts';
export { diffHosts, type HostScope, type HostSnapshot, snapshotHost } from './host-snapshot.ts';
export { openPseudoTerminal, type PseudoTerminal } from './pseudo-terminal.ts';
export { benchTools, missingPackages, testTools, vmTools } from './test-tools.ts';
