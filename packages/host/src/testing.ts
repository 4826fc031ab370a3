export { diffHosts, type HostScope, type HostSnapshot, snapshotHost } from './host-snapshot.ts';
