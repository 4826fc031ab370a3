// What Node's own streams lack: an entry of its own, for most of those who need the host need none of it.

export { type IpFamily, type NetnsSockets, startNetnsSockets } from './netns-sockets.ts';
export { openPseudoTerminal, type PseudoTerminal } from './pseudo-terminal.ts';
export { connectSeqpacket } from './seqpacket.ts';
