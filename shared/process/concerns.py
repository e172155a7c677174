"""All settings that a process reads."""

from shared.process.gateway_settings import AccessSettings, GatewaySettings, PublicSettings, WebhookSettings
from shared.process.message_settings import NotifySettings, SmsSettings
from shared.process.settings import (
    EventSettings,
    GridSettings,
    HoldSettings,
    LogSettings,
    MongoSettings,
    NatsSettings,
    RedisSettings,
    RetentionSettings,
    Settings,
    WorkerSettings,
)

CONCERNS: tuple[type[Settings], ...] = (
    NatsSettings,
    MongoSettings,
    RedisSettings,
    HoldSettings,
    GridSettings,
    EventSettings,
    RetentionSettings,
    WebhookSettings,
    PublicSettings,
    SmsSettings,
    NotifySettings,
    LogSettings,
    GatewaySettings,
    AccessSettings,
    WorkerSettings,
)
