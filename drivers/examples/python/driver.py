"""The moons that a JSON service lists: one GET, one table."""

import json

from componentize_py_types import Err
from wit_world.exports.driver import ConfigField, Feed, FieldType, Metadata, SessionKind
from wit_world.imports import session, sink
from wit_world.imports.types import (
    Column, ColumnType, DriverError_Connection, DriverError_Protocol, DriverError_Unsupported,
    Table, Value_Float, Value_Null, Value_Text,
)

MOONS = Table("moons", [
    Column("name", None, ColumnType.TEXT, nullable=False),
    Column("planet", None, ColumnType.TEXT, nullable=True),
    Column("radius", "Kilometres.", ColumnType.FLOAT, nullable=True),
], root=None)


def cell(value, kind):
    return Value_Null() if value is None else kind(value)


class Driver:
    def describe(self):
        return Metadata(
            id="moons_py", version="0.1.0", description="Moons, as a JSON service lists them.",
            config=[
                ConfigField("url", "Where the list is.", FieldType.TEXT, True, False, None),
                ConfigField("poll_time", "Seconds between polls.", FieldType.INTEGER, False, False, None),
            ],
            # `{url}` grants the host that the datasource is configured with, and no other.
            tables=[MOONS], actions=[], feed=Feed.POLL, session=SessionKind.NONE, hosts=["{url}"], files=[],
        )

    def tables(self, config):
        return [MOONS]

    def poll(self, config, wanted):
        url = dict(config)["url"]
        answer = session.send(session.Request("GET", url, [("accept", "application/json")], None))
        if answer.status != 200:
            raise Err(DriverError_Connection(f"{url} answered with status {answer.status}"))
        try:
            rows = [[Value_Text(moon["name"]), cell(moon.get("planet"), Value_Text),
                     cell(moon.get("radius"), Value_Float)] for moon in json.loads(answer.body)]
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            raise Err(DriverError_Protocol(f"{url} gave no list of moons: {e!r}"))
        sink.replace("moons", rows)

    def receive(self, config, push):
        raise Err(DriverError_Unsupported("this driver takes no pushed rows"))

    def upkeep(self, config):
        pass

    def execute(self, config, action, positional, named):
        raise Err(DriverError_Unsupported(f"this driver has no action '{action}'"))
