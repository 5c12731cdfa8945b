"""The section `mqtt`: where the broker is, how it is talked to, and what is said. Pure.

Values of a YAML file, variables and --set come in; a frozen tree comes out, or pydantic's complaint.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from streamer.sections.section import Section

# YAML takes a bare 5 for a number.
MqttVersion = Annotated[Literal["auto", "5", "3.1.1"], BeforeValidator(lambda value: "5" if value == 5 else value)]
MqttCommand = Literal["cameras/enabled"]
Pictures = Literal["none", "known", "all"]
Topic = Annotated[str, StringConstraints(pattern=r"^[^+#\s\x00]+$", max_length=200)]
TLS_PORT = 8883


class MqttTlsSettings(Section):
    ca: Path | None = Field(default=None, description="PEM: who signs the broker's certificate; null: the system's CAs")
    cert: Path | None = Field(default=None, description="PEM: this client's, then its chain; null: none")
    key: Path | None = Field(default=None, description="PEM, without a password")
    server_name: str | None = Field(
        default=None, min_length=1, max_length=253, description="in the broker's certificate; null: mqtt.host"
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise PydanticCustomError("tls_pair", "cert and key belong together: give both, or none")
        return self


class HomeAssistantSettings(Section):
    """Its MQTT discovery."""

    enabled: bool = False
    prefix: Topic = Field(default="homeassistant", description="of discovery, as its MQTT integration has it")
    people: bool = Field(default=True, description="a device for each person, besides those of the cameras")
    trackers: bool = Field(default=False, description="of people, a device tracker, too")
    pictures: Pictures = Field(default="none", description="of the last face at a camera, published as a picture")


class FrigateSettings(Section):
    """Messages as Frigate sends them, for automations that were made for it."""

    enabled: bool = False
    prefix: Topic = "frigate"


class MqttSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65535, description="with tls and where none is given: 8883")
    tls: MqttTlsSettings | None = Field(default=None, description="{}: by the system's CAs; null: not encrypted")
    username: str | None = None
    password: SecretStr | None = None
    topic_prefix: Topic = "whosthere"
    client_id: str | None = None
    version: MqttVersion = "auto"
    keepalive_s: int = Field(default=20, ge=5, le=3600)
    will_delay_s: int = Field(default=3, ge=0, le=3600, description="a loss that is shorter is not told of (MQTT 5)")
    expire_events_s: int | None = Field(
        default=None, ge=1, le=2_592_000, description="the broker keeps events so long for who is away (MQTT 5)"
    )
    publish_names: bool = True
    commands: tuple[MqttCommand, ...] = Field(default=(), description="what may be commanded over MQTT")
    home_assistant: HomeAssistantSettings = HomeAssistantSettings()
    frigate: FrigateSettings = FrigateSettings()

    @model_validator(mode="before")
    @classmethod
    def _tls_has_a_port_of_its_own(cls, data: object) -> object:
        if not isinstance(data, dict) or "tls" not in data:
            return data
        if data["tls"] is None:
            raise PydanticCustomError(
                "tls_empty", "tls has nothing below it: write `tls: {}` for the system's CAs, or leave it out"
            )
        return {"port": TLS_PORT} | data

    @model_validator(mode="after")
    def _prefixes_apart(self) -> Self:
        for key, other in (("home_assistant", self.home_assistant), ("frigate", self.frigate)):
            ours, theirs = f"{self.topic_prefix}/", f"{other.prefix}/"
            if other.enabled and (ours.startswith(theirs) or theirs.startswith(ours)):
                raise PydanticCustomError(
                    "prefixes", f"topic_prefix and {key}.prefix overlap: give one of them another"
                )
        return self
