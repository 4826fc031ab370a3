export { auditor } from './auditor.ts';
export { cpuPinner } from './cpu-pinner.ts';
export { deviceInjector } from './device-injector.ts';
