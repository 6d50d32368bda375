"""Missed events of Salesforce, and the alarm when nothing comes."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from integration.settings.base import Group, Names


class CatchUpSettings(Group):
    """The catch-up. Its schedule is the app setting CATCH_UP_SCHEDULE, an NCRONTAB text in UTC."""

    model_config = SettingsConfigDict(env_prefix="CATCH_UP_")

    enabled: bool = Field(
        True,
        validation_alias="CATCH_UP",
        description="off where the org has no Change Data Capture; reconciliation heals more slowly",
    )
    endpoint: str = Field(
        "api.pubsub.salesforce.com:443",
        pattern=r"^[A-Za-z0-9.-]+:\d{1,5}$",
        description="host:port of the Pub/Sub API; api.deu.pubsub.salesforce.com:443 stays in the EU",
    )
    channels: Names = Field(
        (),
        description="channels to follow, e.g. /data/AccountChangeEvent; by default those of the"
        " objects that have a flow",
    )
    quiet_seconds: float = Field(
        10, gt=0, description="without an event for so long a channel counts as read to its end"
    )
    overlap_minutes: float = Field(
        15, ge=0, description="how far before a lost position the records are read"
    )
    page: int = Field(
        2000, ge=1, le=2000, description="records read in one step when a position was lost"
    )


class WatchSettings(Group):
    """The alarm. Its schedule is the app setting WATCH_SCHEDULE, an NCRONTAB text in UTC."""

    model_config = SettingsConfigDict(env_prefix="WATCH_")

    objects: Names = Field(
        (),
        description="Salesforce objects whose silence is an alarm; by default those that have a flow",
    )
    settled_seconds: float = Field(
        60,
        gt=0,
        description="seconds after which every process has noted what it accepted and handled",
    )
    lost_minutes: float = Field(
        15,
        gt=0,
        description="how long a hint may be overtaken before it counts as lost and is sent again",
    )
    silence_minutes: float = Field(
        30, ge=0, description="changes without a single hint for so long are a silence"
    )
    backlog_minutes: float = Field(
        30, gt=0, description="age of the oldest waiting hint that is an alarm"
    )
