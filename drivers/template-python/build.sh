#!/bin/sh
# Makes a component of driver.py: `sh build.sh [OUTPUT]`. Takes componentize-py from .venv or PATH.
cd "$(dirname "$0")" || exit
PATH=$PWD/.venv/bin:$PATH exec componentize-py -q -w datasource \
  -d "$(ls -d wit ../../wit 2>/dev/null | head -n 1)" componentize driver -o "${1:-driver.wasm}"
