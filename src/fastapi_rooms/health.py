"""A health endpoint: whether this process should get connections, and how its managers' brokers are."""

from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel

from fastapi_rooms.cluster.health import BrokerHealth
from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.rooms import RoomManager

_NOT_READY: Final = 503


class ManagerReport(BaseModel):
    """How one manager is, in this process.

    Attributes:
        manager: The name of its class.
        connections: Registered connections now.
        rooms: Rooms with a member now.
        broker: How its broker is; `None` where it has none. Its `error` is the kind of error alone: drivers quote
            what they like, and the log has the text.
    """

    manager: str
    connections: int
    rooms: int
    broker: BrokerHealth | None


class HealthReport(BaseModel):
    """What the health endpoint answers.

    Attributes:
        ready: Whether this process should get connections: status 200, else 503.
        managers: One report for each manager, in the order in which they were given.
    """

    ready: bool
    managers: list[ManagerReport]


def health_router(
    *managers: RoomManager[Any, Any], path: str = "/health", ready_while_local: bool = False
) -> APIRouter:
    """A router with one endpoint, `GET path`, for probes of readiness.

    It answers 200 while every manager's broker is connected, and 503 with the same JSON while one is not. A
    manager without a broker is always ready. It asks nobody: the answer is what is known at that moment, and a
    broker that has gone silent is found out within `BrokerTimings.probe_interval` and `probe_timeout`. It is no
    probe of liveness: a restart mends no broker, and ends every connection.

    It needs no token, and tells where the brokers are: let a proxy keep it from the public, or include the
    router with dependencies: `app.include_router(health_router(rooms), dependencies=[...])`.

    Args:
        managers: Whose state is told.
        path: The endpoint's path.
        ready_while_local: Answer 200 while a broker is out of reach, too: rooms work within this process
            meanwhile. `ready` is true then; `connected` tells how it is.

    Raises:
        ConfigurationError: There is no manager. (The endpoint raises it where the `lifespan` of a manager with a
            broker does not run.)
    """
    if not managers:
        raise ConfigurationError("health_router needs a manager")
    router = APIRouter()
    unready: dict[int | str, dict[str, Any]] = {
        _NOT_READY: {"model": HealthReport, "description": "A broker is out of reach"}
    }

    @router.get(path, responses=None if ready_while_local else unready)
    async def health(response: Response) -> HealthReport:
        """Whether this process should get connections."""
        reports = [_report(manager) for manager in managers]
        connected = all(report.broker is None or report.broker.connected for report in reports)
        ready = connected or ready_while_local
        response.headers["Cache-Control"] = "no-store"
        if not ready:
            response.status_code = _NOT_READY
        return HealthReport(ready=ready, managers=reports)

    return router


def _report(manager: RoomManager[Any, Any]) -> ManagerReport:
    health = manager.health()
    if health is not None and health.error is not None:
        health = replace(health, error=health.error.partition(":")[0])
    return ManagerReport(
        manager=type(manager).__name__,
        connections=len(manager),
        rooms=len(manager.rooms),
        broker=health,
    )
