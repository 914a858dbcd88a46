"""fastapi-websocket-pubsub: its endpoint; clients subscribe and publish by RPC."""

from fastapi import FastAPI
from fastapi_websocket_pubsub import PubSubEndpoint

app = FastAPI()
PubSubEndpoint().register_route(app, "/ws")
