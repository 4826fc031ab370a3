// The body of a thread that brings `lo` up in a pinned network namespace, stays there and ends.
import { closeSync, openSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { checked, lazily } from './libc.ts';

const setns = lazily<[number, number]>('setns', ['int', 'int']);
const socket = lazily<[number, number, number]>('socket', ['int', 'int', 'int']);
const ioctl = lazily<[number, number, Uint8Array]>('ioctl', ['int', 'ulong', 'void *']);
const close = lazily<[number]>('close', ['int']);

const newNet = 0x40000000; // CLONE_NEWNET
const inet = 2; // AF_INET
const datagramCloexec = 2 | 0o2000000; // SOCK_DGRAM | SOCK_CLOEXEC
const getFlags = 0x8913; // SIOCGIFFLAGS
const setFlags = 0x8914; // SIOCSIFFLAGS
const up = 1; // IFF_UP
const ifreqBytes = 40;
const ifreqFlagsAt = 16;

const { path, doing } = workerData as { readonly path: string; readonly doing: string };
const namespace = openSync(path, 'r');
checked(setns()(namespace, newNet), `${doing}: enter ${path}`);
closeSync(namespace);
const fd = checked(socket()(inet, datagramCloexec, 0), `${doing}: bring lo up`);
const request = Buffer.alloc(ifreqBytes);
request.write('lo');
checked(ioctl()(fd, getFlags, request), `${doing}: look at lo`);
request.writeInt16LE(request.readInt16LE(ifreqFlagsAt) | up, ifreqFlagsAt);
checked(ioctl()(fd, setFlags, request), `${doing}: bring lo up`);
close()(fd);
