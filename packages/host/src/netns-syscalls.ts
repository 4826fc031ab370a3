export { StrandedThread } from './namespace-syscalls.ts';
