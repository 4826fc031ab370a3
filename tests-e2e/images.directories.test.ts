// images.test.ts again, with layers kept as directories.
process.env['GANTRY_E2E_LAYER_STORE'] = 'directories';
await import('./images.test.ts');
