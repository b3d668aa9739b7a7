#!/bin/bash
# One group of container tests in a mount namespace of its own. container-main.sh GROUP
set -u -o pipefail
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/harness.sh"
. "$HERE/container-common.sh"
# shellcheck source=/dev/null
. "$HERE/$1.sh"
[ "$1" = hostile ] || run_tests "$HERE/$1.sh"
echo "END $1"
