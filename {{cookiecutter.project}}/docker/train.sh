#!/bin/sh
# What a container does: train with the options of `docker run <image> [option...]`, on the default dataset if the data
# folder holds none; or another command, as in `docker run <image> evaluate.py checkpoint=best`.
set -e

check_writable() {
    test -w "$1" && return
    echo "error: user $(id -u) of the container may not write to /app/$1; make the folder before you mount it, and add" \
        '--user "$(id -u):$(id -g)" to docker run' >&2
    exit 2
}

case "$1" in
    *.py) exec python "$@" ;;
    --*) ;; # --help, --cfg
    *)
        check_writable runs
        ls data/*/dataset.json > /dev/null 2>&1 || { check_writable data; python make_dataset.py; }
        ;;
esac
exec python train.py "$@" # in place of the shell, so that `docker stop` reaches it
