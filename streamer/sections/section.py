"""What every section of the settings is: frozen, and without a key that nobody knows. Pure."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)
