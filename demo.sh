#!/bin/sh
# What `make demo` runs: the way from the template to a trained model, every command shown before it runs.
set -eu
unset MAKEFLAGS MFLAGS MAKELEVEL
project=build/first-spark
kindling=$PWD

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

bake() {
    version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    set -- .venv/bin/python -m cookiecutter . --no-input --output-dir "$1"
    [ "$version" = 3.11 ] || set -- "$@" "python_version=$version" # the default answer is 3.11
    if [ -n "${quiet-}" ]; then "$@" >/dev/null; else show "$@"; fi
}

first_tree() { # what the bake committed
    git -C "$1" rev-parse --quiet --verify "$(git -C "$1" rev-list --max-parents=0 HEAD)^{tree}"
}

untouched() { # since the bake: nothing committed, nothing changed
    [ "$(git -C "$1" rev-list --count HEAD)" = 1 ] && [ -z "$(git -C "$1" status --porcelain)" ]
}

if [ ! -d "$project/.git" ] && [ -e "$project" ]; then
    echo "build/first-spark has no git history to compare with the template: using it as it is"
elif [ ! -e "$project" ]; then
    bake build
else
    rm -rf build/.fresh
    quiet=yes bake build/.fresh
    if [ "$(first_tree "$project")" = "$(first_tree build/.fresh/first-spark)" ]; then
        echo "build/first-spark is up to date with the template"
    elif untouched "$project"; then
        echo "The template has changed: baking build/first-spark again"
        rm -rf "$project"
        bake build
    else
        echo "The template has changed, and so have you: build/first-spark stays as it is. Move it away to get a new one."
    fi
    rm -rf build/.fresh
fi

# uv, which Kindling has in its environment, makes the project's environment faster than pip.
mkdir -p build/.bin
ln -sf "$kindling/.venv/bin/uv" build/.bin/uv
PATH=$kindling/build/.bin:$PATH

show cd "$project"
show make setup
show .venv/bin/python make_dataset.py
show .venv/bin/python train.py model=bert
show .venv/bin/python evaluate.py checkpoint=best
printf '\nThe project is yours to play with: cd %s\n' "$project"
