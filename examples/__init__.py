"""The examples: each runs alone with `uvicorn examples.NAME:app`, all together with `make run`."""
