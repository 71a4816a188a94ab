#!/usr/bin/env bash
# From nothing to a classified photo, offline but for the installation: environment, sample
# catalogue, records, a short EfficientNetB0 training, evaluation, SavedModel, one prediction.
# Photos that are given are tagged first, by the model that comes with the package.
# Usage: bash scripts/quickstart.sh [PHOTO …]
set -euo pipefail
own=()
for photo in "$@"; do own+=("$(realpath -- "$photo")"); done
cd "$(dirname "$0")/.."
source scripts/environment.sh
environment test
source .venv/bin/activate

say() { printf '\n== %s\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

catalogue=data/sample-catalogue records=tfrecords/sample runs=runs/quickstart models=models name=quickstart
workdir=$runs/$(date +%Y%m%d-%H%M%S)

if ((${#own[@]})); then
  say "Your photos, by the model that comes with the package"
  run fashion-keras predict "${own[@]}"
fi
say "A catalogue of 2,000 drawn photos"
run fashion-keras sample $catalogue
say "Its records"
run fashion-keras convert --source $catalogue --output $records
say "A short training (watch it: tensorboard --logdir $runs)"
run fashion-keras train --recipe quickstart --data $records --workdir "$workdir"
say "Its scores on the test split"
run fashion-keras evaluate --model "$workdir" --data $records --split test
say "A SavedModel for TF Serving"
run fashion-keras export --model "$workdir" --output $models --name $name
say "One photo"
photos=("$catalogue"/images/*.jpg)
run fashion-keras predict --model $models/$name "${photos[0]}"
