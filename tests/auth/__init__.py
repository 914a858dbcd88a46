"""Tests of `fastapi_rooms.auth`, one file per module."""
