# Runs in the machine, as root, by systemd: the tests that the kernel's command line names, their counts, and power off.
cd /opt/gantry
uname -sr
files=
for name in $(sed -n 's/.*gantry\.tests=\([^ ]*\).*/\1/p' /proc/cmdline | tr , ' '); do
  files="$files tests-e2e/vm/inside/$name.test.ts"
done
mkdir /run/counts
export NODE_COMPILE_CACHE=/opt/gantry/node_modules/.cache/compile
NO_COLOR=1 GANTRY_TEST_COUNTS=/run/counts node_modules/.bin/node --test --test-isolation=none --test-timeout=1800000 \
  --test-reporter=spec --test-reporter-destination=stdout \
  --test-reporter=./apps/gantry/src/test-run/count-reporter.ts --test-reporter-destination=stderr \
  $files
echo "GANTRY-VM-COUNTS $(cat /run/counts/*.json)"
systemctl --no-block poweroff
