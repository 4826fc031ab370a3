export { type ConfigKey, configKeys } from './config-keys.ts';
export { configPage } from './config-page.ts';
export { defaultConfigToml } from './default-file.ts';
export { importContainerdConfig } from './import-containerd.ts';
export { completeConfig, defaultConfigFile, loadConfig } from './load-config.ts';
export { parseConfig } from './parse-config.ts';
export { type Config, configSchema, type RuntimeConfig } from './schema.ts';
