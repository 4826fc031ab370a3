# Runs in the machine, as root, by systemd: the tests, their counts, and power off.
cd /opt/gantry
uname -sr
mkdir /run/counts
NO_COLOR=1 GANTRY_TEST_COUNTS=/run/counts node_modules/.bin/node --test --test-timeout=600000 \
  --test-reporter=spec --test-reporter-destination=stdout \
  --test-reporter=./apps/gantry/src/test-run/count-reporter.ts --test-reporter-destination=stderr \
  tests-e2e/vm/inside/systemd.test.ts
echo "GANTRY-VM-COUNTS $(cat /run/counts/*.json)"
systemctl --no-block poweroff
