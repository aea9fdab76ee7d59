"""Write the files in aws/ from their one source, which is in src/ocrlabel/aws (`make render`).

The unit tests of template and job definition fail where a file differs from its source.
"""

from __future__ import annotations

import json
from pathlib import Path

from ocrlabel.aws.job_definition import file_text
from ocrlabel.aws.template import template

FOLDER = Path(__file__).parents[1] / "aws"
FILES = {
    "batch-job-definition.json": file_text(),
    "stack-template.json": json.dumps(template(), indent=2) + "\n",
}


def main() -> None:
    """Write every file, and say so."""
    for name, text in FILES.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"wrote aws/{name}")


if __name__ == "__main__":
    main()
