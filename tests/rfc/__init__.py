"""RFC 6455 and RFC 7692, section by section, on uvicorn alone and on uvicorn with shared frames."""
