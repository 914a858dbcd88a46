"""What a client says, as JSON. Pure."""

from fastapi_rooms.payload import encode_json


class Raw(str):
    """JSON, as a text."""

    __slots__ = ()


def as_json(value: object) -> Raw:
    """JSON, of models too.

    Raises:
        UnencodableMessage: The value is not JSON-able.
    """
    return Raw(encode_json(value).decode())


def compose(kind: str, **fields: object) -> str:
    """A frame; a field that is `None` is left out, and one that is `Raw` stays as it is.

    Raises:
        UnencodableMessage: A field is not JSON-able.
    """
    parts = [f'"type":"{kind}"']
    for name, value in fields.items():
        if value is not None:
            parts.append(f'"{name}":{value if isinstance(value, Raw) else as_json(value)}')
    return f"{{{','.join(parts)}}}"
