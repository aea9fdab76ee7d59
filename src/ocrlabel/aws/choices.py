"""The template's parameters: what was said now, else what was said before, else what is usual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ocrlabel.aws.names import GITHUB_ISSUER, Place
from ocrlabel.aws.network_choice import OWN, Network, chosen
from ocrlabel.aws.session import Aws, code, translated
from ocrlabel.aws.stack import StackState
from ocrlabel.aws.template.parameters import PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Sequence


def parameters(
    said: Mapping[str, str],
    before: Mapping[str, str],
    network: Network | None,
    *,
    provider_exists: bool,
) -> dict[str, str]:
    """Every parameter's value, so that a second deploy without options changes nothing.

    said: by option. before: the present stack's. network: None keeps the one of before.
    provider_exists: the account has GitHub's OIDC provider, and this stack did not make it.
    """
    usual = {name: str(spec.get("Default", "")) for name, spec in PARAMETERS.items()}
    usual["CreateGitHubProvider"] = "false" if provider_exists else "true"
    known = {name: value for name, value in before.items() if name in PARAMETERS}
    return {**usual, **known, **(network.parameters if network else {}), **said}


def first_choices(
    said: Mapping[str, str], *, network: str | None, subnets: Sequence[str] = ()
) -> dict[str, str]:
    """The same for an empty account, where nothing can be looked up; it has its default VPC."""
    picked = OWN if network == "own" else Network("the default VPC", tuple(subnets) or ("all",))
    return parameters(said, {}, picked, provider_exists=False)


def look_choices(
    aws: Aws,
    place: Place,
    stack: StackState | None,
    said: Mapping[str, str],
    *,
    network: str | None,
    subnets: Sequence[str] = (),
) -> dict[str, str]:
    """The same, with what has to be looked up. network None: as before, at first the default."""
    before = stack.parameters if stack else {}
    asked = network or bool(subnets) or "VpcId" not in before
    picked = chosen(aws.client("ec2"), network or "auto", subnets) if asked else None
    # what this stack made must not look like somebody else's, or the update would remove it
    owned = before.get("GitHubRepository") and before.get("CreateGitHubProvider") == "true"
    repository = said.get("GitHubRepository", before.get("GitHubRepository", ""))
    exists = bool(repository) and not owned and provider_exists(aws.client("iam"), place)
    settled: dict[str, Any] = dict(before)
    if repository and not owned:
        settled.pop("CreateGitHubProvider", None)
    return parameters(said, settled, picked, provider_exists=exists)


def provider_exists(iam: Any, place: Place) -> bool:
    """Whether the account already trusts GitHub: there can be only one such provider."""
    arn = place.global_arn("iam", f"oidc-provider/{GITHUB_ISSUER}")
    with translated("look for GitHub's OIDC provider"):
        try:
            iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        except ClientError as error:
            if code(error) in {"NoSuchEntity", "NoSuchEntityException"}:
                return False
            raise
    return True
