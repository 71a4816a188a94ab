"""A run's folder or `.keras` file in; a SavedModel that TF Serving loads out.

python -m fashion_keras.export --model RUN --output DIR [--name NAME] [--version N] [--top K]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fashion_keras.commands import positive_int, run_command
from fashion_keras.serving.layout import new_version
from fashion_keras.serving.server_files import COMPOSE_FILE, model_name, write_server_files

_EXAMPLES = """\
examples:
  python -m fashion_keras.export --model runs/efficientnetb0-1 --output models --name fashion
      models/fashion/1, and beside it models.config, batching_parameters.txt and
      docker-compose.yml; a second time it is models/fashion/2
  python -m fashion_keras.export --model runs/efficientnetb0-1 --output models/fashion
      models/fashion/1 alone

A version holds the SavedModel with the signatures serving_default, serve_pixels and embed,
warm-up requests for TF Serving, and a model card (README.md).
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_export, argv)


def _export(argv: Sequence[str] | None) -> None:
    arguments = _parser().parse_args(argv)
    # Imported here, so that --help and a wrong argument are answered at once.
    from fashion_keras.quiet import load_tensorflow
    from fashion_keras.run import check_run, load_run

    output = arguments.output / arguments.name if arguments.name else arguments.output
    new_version(output, arguments.version)  # a wrong one fails before the slow start
    check_run(arguments.model)
    load_tensorflow()
    run = load_run(arguments.model)
    from fashion_keras.serving.savedmodel import export_saved_model

    path = export_saved_model(run, output, version=arguments.version, top=arguments.top)
    height, width = run.image_size
    print(f"{path}: {run.label} ({len(run.labels[run.label])} classes), photos {height}×{width}")
    for label, classes in list(run.labels.items())[1:]:
        print(f"  and {label} ({len(classes)} classes)")
    print(f"Try it: python -m fashion_keras.predict --model {output} PHOTO")
    if arguments.name:
        for warning in write_server_files(arguments.output):
            print(f"warning: {warning}", file=sys.stderr)
        print(f"Serve it: docker compose -f {arguments.output / COMPOSE_FILE} up")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fashion_keras.export",
        description="Write a trained model as a SavedModel: photo bytes in, class names out.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", required=True, type=Path, help="a run's folder, or a .keras file beside one"
    )
    parser.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="DIR",
        help="the model's folder, for versions DIR/1, DIR/2, …; with --name, the folder of models",
    )
    parser.add_argument(
        "--name",
        type=model_name,
        help="write DIR/NAME/1, DIR/NAME/2, …, and what TF Serving needs into DIR",
    )
    parser.add_argument(
        "--version", type=positive_int, help="version to write (default: one above the highest)"
    )
    parser.add_argument(
        "--top", type=positive_int, default=5, help="classes each photo gets (default: 5)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
