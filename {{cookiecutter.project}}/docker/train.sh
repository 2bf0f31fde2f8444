#!/bin/sh
# What a container does: train with the options of `docker run <image> [option...]`, on the default dataset if the data
# folder holds none; or another command, as in `docker run <image> evaluate.py checkpoint=best`.
set -e
case "$1" in
    *.py) exec python "$@" ;;
    --*) ;; # --help, --cfg
    *) ls data/*/dataset.json > /dev/null 2>&1 || python make_dataset.py ;;
esac
exec python train.py "$@" # in place of the shell, so that `docker stop` reaches it
