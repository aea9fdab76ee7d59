"""Every setting of a run, from the command line or from OCRLABEL_<NAME>: read here alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ocrlabel.errors import ConfigError
from ocrlabel.pipeline.options import RunOptions

LogStyle = Literal["auto", "bar", "lines", "json", "quiet"]

PRICE_PER_PAGE_USD = 0.0015
PRICE_SOURCE = "0.0015 USD per page: a third party's reading of the price page, 2026-09-11"


class Settings(BaseSettings):
    """Settings of a run. A field `x` is also the variable OCRLABEL_X; the command line wins."""

    model_config = SettingsConfigDict(env_prefix="OCRLABEL_", extra="forbid", frozen=True)

    engine: Literal["auto", "upstage", "rapidocr", "tesseract", "scripted"] = "auto"
    output: str | None = None
    image_root: tuple[str, ...] = ()
    image_column: str | None = None
    dataset_name: str | None = None
    checkpoint_prefix: str = "checkpoints"
    batch_size: int | None = Field(default=None, ge=1, le=1_000_000)
    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    processes: int | None = Field(default=None, ge=1, le=1_000)
    rps: float | None = Field(default=None, gt=0, le=1_000_000, allow_inf_nan=False)
    max_cost: float | None = Field(default=None, ge=0, le=1_000_000_000, allow_inf_nan=False)
    max_failures: float = Field(default=0.05, ge=0, le=1)
    price_per_page: float = Field(default=PRICE_PER_PAGE_USD, ge=0)
    model: str = "ocr"
    limit: int | None = Field(default=None, ge=1)
    sample: int | None = Field(default=None, ge=1)
    seed: int = 0
    retry_failed: tuple[str, ...] | None = None
    reuse_from: str | None = None
    fresh: bool = False
    attempts: int = Field(default=8, ge=1, le=100)
    image_deadline_s: float = Field(default=1800.0, gt=0)
    give_up_after: float = Field(default=1800.0, gt=0)
    grace_s: float = Field(default=25.0, ge=0)
    deadline: float | None = None
    lease_s: float = Field(default=60.0, gt=0)
    send_within_s: float = Field(default=60.0, gt=0)
    request_timeout_s: float = Field(default=300.0, gt=0)
    page_timeout_s: float = Field(default=120.0, gt=0)
    log: LogStyle = "auto"
    report: bool = True
    latency: float = Field(default=0.0, ge=0)

    @field_validator("rps", mode="before")
    @classmethod
    def _rps(cls, value: Any) -> Any:
        try:
            return None if value in {None, "auto"} else float(value)
        except ValueError:
            raise ValueError("write `auto`, or requests/s as a number such as 3") from None

    @field_validator("max_cost", mode="before")
    @classmethod
    def _max_cost(cls, value: Any) -> Any:
        try:
            return None if value in {None, "none"} else float(value)
        except ValueError:
            raise ValueError("write US dollars such as 5.00, or `none`") from None

    @field_validator("max_failures", mode="before")
    @classmethod
    def _share(cls, value: Any) -> Any:
        if isinstance(value, str) and value.strip().endswith("%"):
            return float(value.strip().removesuffix("%")) / 100
        return value

    @field_validator("give_up_after", "deadline", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        return seconds(value) if isinstance(value, str) else value

    @field_validator("retry_failed", "image_root", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(
                part.strip() for part in value.split(",") if part.strip() not in {"", "all"}
            )
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library names them
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line first, then the environment: no files, no surprises."""
        return (init_settings, _PlainEnvironment(settings_cls))

    @classmethod
    def of(cls, **given: Any) -> Self:
        """Settings from what was given (None: not given) and the environment, or ConfigError."""
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise ConfigError(_sentence(error)) from error

    def run_options(self, *, job: str = "", join: bool = True) -> RunOptions:
        """The part that the run itself takes."""
        return RunOptions(
            batch_rows=self.batch_size,
            concurrency=self.concurrency,
            rps=self.rps,
            max_cost_usd=self.max_cost,
            lifted=frozenset(
                name
                for field, name in (("rps", "rps"), ("max_cost", "max_cost_usd"))
                if field in self.model_fields_set and getattr(self, field) is None
            ),
            max_failures_share=self.max_failures,
            limit=self.limit,
            sample=self.sample,
            seed=self.seed,
            retry_failed=self.retry_failed,
            fresh=self.fresh,
            attempts=self.attempts,
            image_deadline_s=self.image_deadline_s,
            give_up_after_s=self.give_up_after,
            grace_s=self.grace_s,
            deadline_s=self.deadline,
            lease_s=self.lease_s,
            send_within_s=self.send_within_s,
            job=job,
            join=join,
        )


def seconds(text: str) -> float:
    """Seconds in "90", "90s", "15m" or "6h", or until a moment such as 2026-11-24T18:00:00Z."""
    value = text.strip()
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}.get(value[-1:].lower())
    try:
        return float(value[:-1]) * unit if unit else float(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("write seconds, 15m, 6h, or a moment like 2026-11-24T18:00Z") from None
    if moment.tzinfo is None:
        moment = moment.astimezone()
    return (moment - datetime.now(moment.tzinfo)).total_seconds()


def _sentence(error: ValidationError) -> str:
    lines = []
    for one in error.errors():
        name = str(one["loc"][0]) if one["loc"] else "settings"
        message = one["msg"].removeprefix("Value error, ")
        flag, variable = f"--{name.replace('_', '-')}", f"OCRLABEL_{name.upper()}"
        lines.append(f"{flag} (or {variable}): {message}; got {one['input']!r}")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Keys:
    """Where keys and addresses of services come from: the environment, read once.

    Values never show in a repr.
    """

    variables: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Keys({', '.join(sorted(self.variables))})"

    def get(self, name: str) -> str:
        """The value, "" where it is unset or blank."""
        return self.variables.get(name, "").strip()


def from_environment() -> Keys:
    """What services need from the environment."""
    wanted = (
        "UPSTAGE_API_KEY",
        "UPSTAGE_API_KEYS",
        "UPSTAGE_BASE_URL",
        "AWS_SECRET_ARN",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_BATCH_JOB_ID",
        "AWS_BATCH_JOB_ATTEMPT",
        "AWS_BATCH_JOB_ARRAY_INDEX",
        "S3_BUCKET",
        "DATASET_NAME",
        "CHECKPOINT_PREFIX",
        "INPUT_S3_KEY",
        "OUTPUT_S3_KEY",
        "BATCH_SIZE",
        "CONCURRENCY",
    )
    return Keys({name: os.environ[name] for name in wanted if name in os.environ})


class _PlainEnvironment(EnvSettingsSource):
    """Variables as plain text: a list is written a,b and not as JSON."""

    def prepare_field_value(
        self,
        field_name: str,  # noqa: ARG002 - the library names them
        field: FieldInfo,  # noqa: ARG002
        value: Any,
        value_is_complex: bool,  # noqa: ARG002
    ) -> Any:
        """The text as it is; validators take it apart."""
        return value
