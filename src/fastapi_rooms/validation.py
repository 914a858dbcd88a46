"""What clients send, turned into JSON values and models, or into an `InvalidMessage` fit for the client."""

from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from fastapi_rooms.errors import CloseCode, InvalidMessage


def parse_json(message: str | bytes, model: Any = None) -> Any:
    """Read one JSON text message; with a model, anything that a Pydantic `TypeAdapter` takes, validate it too.

    Nesting is limited (pydantic-core's parser stops at 200 levels) and lone surrogates are refused, so what
    comes out can be sent again.

    Raises:
        InvalidMessage: Binary where text is due (code 1003), not JSON, or not the model (code 1007).
    """
    if isinstance(message, bytes):
        raise InvalidMessage(detail="text expected, binary received", code=CloseCode.UNSUPPORTED_DATA)
    try:
        encoded = message.encode()  # lone surrogates end here, as a ValueError
        if model is None:
            return from_json(encoded, allow_inf_nan=False)
        return _adapter(model).validate_json(encoded)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidMessage(detail=first["msg"], field=field) from None
    except ValueError as error:
        raise InvalidMessage(detail=f"not JSON: {error}") from None


def _adapter(model: Any) -> TypeAdapter[Any]:
    try:
        return _cached_adapter(model)
    except TypeError:  # an unhashable type, such as an Annotated with a dict in it
        return TypeAdapter(model)


@lru_cache(maxsize=256)
def _cached_adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)
