export { completeConfig, defaultConfigFile, loadConfig } from './load-config.ts';
export { parseConfig } from './parse-config.ts';
export { type Config, configSchema, type RuntimeConfig } from './schema.ts';
