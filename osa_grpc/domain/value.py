"""The base of every domain value: frozen, and closed to fields nobody declared."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """An immutable value. Two with equal fields are equal; its JSON is what the database and events hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", allow_inf_nan=False)
