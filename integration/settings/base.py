"""What the groups of settings are made of: how one app setting, a line of text, becomes a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping


def split(value: Any) -> Any:
    """`a, b,c` in an app setting is a tuple of three."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _base_url(value: Any) -> Any:
    """F&O accepts a token only for the lower-case host without trailing slash (F&O contract 1.2)."""
    if not isinstance(value, str):
        return value
    parts = urlsplit(value.strip())
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("must be a full URL such as https://contoso.operations.dynamics.com")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _pem(value: Any) -> Any:
    """App settings are one line; a PEM may arrive with the two characters backslash-n for newlines."""
    return value.replace("\\n", "\n") if isinstance(value, str) else value


def _pairs(value: Any) -> Any:
    """`Each=ea, Box=box` in an app setting is a table."""
    if not isinstance(value, str):
        return value
    parts = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(sign and name.strip() and result.strip() for name, sign, result in parts):
        raise ValueError("must be pairs such as Each=ea,Box=box")
    return {name.strip(): result.strip() for name, _, result in parts}


_REFERENCE = "@microsoft.keyvault("
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)]
Pairs = Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)]
BaseUrl = Annotated[str, BeforeValidator(_base_url)]
Pem = Annotated[SecretStr, BeforeValidator(_pem)]
Switch = Literal["on", "dry", "off"]


class Group(BaseSettings):
    """What one setting asks of another is checked where the later one is read, never in a validator of the
    whole group: that would stay silent as long as any other setting is wrong.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    @field_validator("*", mode="before")
    @classmethod
    def _resolved(cls, value: Any) -> Any:
        """Azure passes on a Key Vault reference that it cannot resolve, and anybody could guess that text."""
        if isinstance(value, str) and value.lstrip().lower().startswith(_REFERENCE):
            raise ValueError(
                "the Key Vault reference is not resolved: set the secret and the app's right to read"
                " it, then restart the app"
            )
        return value


def needed(
    value: Any, info: ValidationInfo, needs: Mapping[str, tuple[str, ...]], auth: str
) -> Any:
    """Raises ValueError where the way to sign in, read before, cannot do without this setting."""
    way = str(info.data.get("auth"))
    if not value and info.field_name in needs.get(way, ()):
        raise ValueError(f"is needed with {auth}={way}")
    return value


class Buckets(Group):
    buckets: int = Field(
        16,
        ge=1,
        le=512,
        validation_alias="INTEGRATION_BUCKETS",
        description="sessions of the queue `changes`; change it only while the queue is empty",
    )


class CallLimit(Group):
    model_config = SettingsConfigDict(env_prefix="D365_")

    max_concurrent_calls: int = Field(52, ge=1, description="at the same time, per process")


class StockLimit(Group):
    stock_calls: int = Field(
        12,
        ge=1,
        validation_alias="STOCK_MAX_CALLS",
        description="reads of stock under way at the same time, per process; further ones wait",
    )
