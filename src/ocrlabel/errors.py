"""What can stop ocrlabel, and what can go wrong with one image.

OcrLabelError                    ends the command
├── ConfigError                  the user can fix it                                    exit 2
│   └── DatasetError             the input cannot be used: names the column or the row  exit 2
├── RunMismatch                  these checkpoints are another run's                    exit 3
├── EngineUnusable               no image can be read: key, credit                      exit 4
├── BudgetReached                the cap on money is reached                            exit 5
├── Incomplete                   done, with more failures than allowed                  exit 6
├── StoreUnavailable             the store does not answer; all that was saved stays    exit 75
└── Interrupted                  stopped early by a signal, an outage or a deadline     exit 75

ImageError                       this one image; becomes a Failed row, never ends a run
├── Unreadable                   it cannot be opened, or not within the limits
├── Rejected                     the engine refuses it for good
├── BadAnswer                    the engine's answer is not one (may pass when asked again)
└── Unavailable                  may pass: try again
    └── Throttled                not before retry_after_s; never the image's fault
KeyRefused                       the key, not the image: the service's own 401 or 403

The type decides, not a status code: only engines/ knows HTTP. A message says what, where, and
the next step.
"""

from __future__ import annotations

from ocrlabel.labels import FailureClass


class OcrLabelError(Exception):
    """Base of what ends a command with a sentence instead of a traceback.

    handed_over: what there is of the run that it ended (`pipeline.merge.partial.HandedOver`).
    """

    exit_status = 1
    handed_over: object = None


class ConfigError(OcrLabelError):
    """Something the user gave cannot be used."""

    exit_status = 2


class DatasetError(ConfigError):
    """The input cannot be used; the message names the column or the rows."""


class RunMismatch(OcrLabelError):
    """The checkpoints that are there belong to another run."""

    exit_status = 3


class EngineUnusable(OcrLabelError):
    """No image can be read any more: every key is refused or out of credit."""

    exit_status = 4


class BudgetReached(OcrLabelError):
    """The next request could pass the cap on money."""

    exit_status = 5


class Incomplete(OcrLabelError):
    """All rows were reached, and more failed than allowed."""

    exit_status = 6


class Interrupted(OcrLabelError):
    """Stopped early with everything saved; the same command goes on."""

    exit_status = 75


class StoreUnavailable(OcrLabelError):
    """The object store does not answer within its retries."""

    exit_status = 75


class ImageError(Exception):
    """One image was not read. `failure` is the class that its Failed row gets.

    status: the HTTP status where there is one. billed_pages: what the service says that it charged
    all the same; None where it says nothing. ends: what ends the run if nothing was ever read:
    it is not about this image.
    """

    failure = FailureClass.REJECTED

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        failure: FailureClass | None = None,
        billed_pages: int | None = None,
        ends: type[OcrLabelError] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.billed_pages = billed_pages
        self.ends = ends
        if failure is not None:
            self.failure = failure


class Unreadable(ImageError):
    """The bytes are no image that may be read: broken, of no known kind, or over a limit."""

    failure = FailureClass.NOT_AN_IMAGE


class Rejected(ImageError):
    """The engine will never read this image."""


class Unavailable(ImageError):
    """The engine did not answer this time.

    retry_after_s: the wait that it asked for. sent: False only where it is certain that the
    whole request never reached the service.
    """

    failure = FailureClass.UNAVAILABLE

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        failure: FailureClass | None = None,
        billed_pages: int | None = None,
        ends: type[OcrLabelError] | None = None,
        retry_after_s: float | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(
            message, status=status, failure=failure, billed_pages=billed_pages, ends=ends
        )
        self.retry_after_s = retry_after_s
        self.sent = sent


class Throttled(Unavailable):
    """Too many requests: lower the rate, and do not count this against the image."""


class BadAnswer(Unavailable):
    """What came is no answer of the service (HTML, cut JSON, missing pages, a proxy's words)."""

    failure = FailureClass.BAD_ANSWER


class KeyRefused(Exception):
    """The key was refused (401) or has no credit left (403). The image is not to blame."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
