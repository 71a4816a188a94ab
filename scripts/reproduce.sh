#!/usr/bin/env bash
# Trains the README's rows, in the order in which they build on each other, and scores those rows on the test split.
# Usage: bash scripts/reproduce.sh tfrecords/small [quick | cpu | all]
#   quick  resnet18-quick: 12 minutes on two cores
#   cpu    resnet18 and efficientnetb0 too: two and a half hours (the default)
#   all    the enlarged runs and their teachers too: for a GPU; hours on two cores
# A run that is there is resumed; one that is finished costs a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?records, e.g. tfrecords/small} rows=${2:-cpu}
fashion_keras() { printf '$ fashion-keras %s\n' "$*"; .venv/bin/fashion-keras "$@"; }

run() { # NAME OPTIONS…
  local workdir=runs/$1
  shift
  if [ -d "$workdir" ]; then
    fashion_keras train --workdir "$workdir" --resume
  else
    fashion_keras train --data "$data" --workdir "$workdir" "$@"
  fi
}

score() { fashion_keras evaluate --model "runs/$1" --data "$data" --split test; }

run quick-resnet18 --recipe resnet18-quick
score quick-resnet18
[ "$rows" = quick ] && exit
run resnet18 --recipe resnet18
score resnet18
# Ours was stopped after 13 of its 25 epochs.
run efficientnetb0-first --config configs/efficientnetb0_first.yaml --teacher runs/resnet18
run efficientnetb0 --recipe efficientnetb0 --weights runs/efficientnetb0-first --teacher runs/resnet18
score efficientnetb0
[ "$rows" = cpu ] && exit
run fast-resnet18 --config configs/fast_resnet18.yaml
run resnet18-taught --config configs/resnet18_taught.yaml --weights runs/fast-resnet18 --teacher runs/fast-resnet18
run resnet18-enlarged --recipe resnet18-enlarged --teacher runs/resnet18-taught
run efficientnetb0-enlarged --recipe efficientnetb0-enlarged --teacher runs/resnet18-taught
teachers=(runs/resnet18-enlarged runs/efficientnetb0-enlarged runs/resnet18-taught)
for network in resnet18 efficientnetb0; do
  run $network-enlarged-taught --config configs/${network}_enlarged_taught.yaml \
    --weights runs/$network-enlarged --teacher "${teachers[@]}"
  score $network-enlarged-taught
done
