#!/usr/bin/env bash
# Build the site with a Python that has a torch of its own: in a GPU image, say, without tox and without a network.
#   there  docs/own_torch.sh needs > needs.txt    what that Python lacks
#   here   docs/own_torch.sh fetch                needs.txt into wheels/, with the same Python version and platform
#   there  docs/own_torch.sh install              wheels/ beside that torch, and mmcv's ops compiled against it
#   there  docs/own_torch.sh build                the site, then the checks once more without pages
set -euo pipefail
export HOWTO_STACK=${HOWTO_STACK:-onedl}
python=${PYTHON:-python3}

case ${1:-} in
needs) "$python" -m howto install --list ;;
fetch)
    "$python" -m pip download --no-deps --dest wheels --requirement needs.txt
    du --human-readable --summarize wheels
    ;;
install) "$python" -m howto install --here --no-index --find-links wheels ;;
build)
    "$python" -m howto build
    "$python" -m howto verify
    ;;
*)
    echo "usage: $0 needs|fetch|install|build" >&2
    exit 2
    ;;
esac
