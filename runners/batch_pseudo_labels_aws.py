"""The guide's entry point, for AWS Batch and by hand: its flags and variables, and no logic.

S3_BUCKET=... DATASET_NAME=baseline_train python -m runners.batch_pseudo_labels_aws
python -m runners.batch_pseudo_labels_aws --dataset-name baseline_train --resume
"""

from __future__ import annotations

import sys

from ocrlabel.cli.exit_codes import end_process_with


def main() -> None:
    """Run with the flags of the command line and the variables of the job."""
    end_process_with(_label)


def _label() -> None:
    # a container that says something at once is one that is not looked into needlessly
    print('{"event": "starting", "runner": "batch_pseudo_labels_aws"}', file=sys.stderr, flush=True)
    import typer  # noqa: PLC0415 - after the first line

    from ocrlabel.cli.run import bucket_run  # noqa: PLC0415 - after the first line

    typer.run(bucket_run)


if __name__ == "__main__":
    main()
