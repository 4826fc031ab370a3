process.stderr.write('gantry: no command yet\n');
process.exitCode = 1;
