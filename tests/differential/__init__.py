"""The same story told twice: through uvicorn alone, and through shared frames."""
