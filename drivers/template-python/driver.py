"""A first driver: copy this folder, change what it is called and what it reads."""

from componentize_py_types import Err
from wit_world.exports.driver import ConfigField, Feed, FieldType, Metadata, SessionKind
from wit_world.imports import sink
from wit_world.imports.types import (
    Column, ColumnType, DriverError_Config, DriverError_Unsupported, Table, Value_Text,
)

GREETINGS = Table(
    name="greetings",
    columns=[Column(name, None, ColumnType.TEXT, nullable=True) for name in ("name", "greeting")],
    root=None,
)


class Driver:
    def describe(self):
        return Metadata(
            id="template",
            version="0.1.0",
            description="Greets everyone in `names`.",
            config=[
                ConfigField("names", "Whom to greet, separated by commas.",
                            FieldType.TEXT, required=True, secret=False, default=None),
                ConfigField("poll_time", "Seconds between polls; 0 polls only on request.",
                            FieldType.INTEGER, required=False, secret=False, default=None),
            ],
            tables=[GREETINGS],
            actions=[],
            feed=Feed.POLL,
            session=SessionKind.NONE,
            hosts=[],
            files=[],
        )

    def tables(self, config):
        return [GREETINGS]

    def poll(self, config, wanted):
        names = dict(config).get("names")
        if names is None:
            raise Err(DriverError_Config("field 'names' is not set"))
        names = [name.strip() for name in names.split(",")]
        sink.replace("greetings", [[Value_Text(n), Value_Text(f"Hello, {n}!")] for n in names])

    def receive(self, config, push):
        raise Err(DriverError_Unsupported("this driver takes no pushed rows"))

    def upkeep(self, config):
        pass

    def execute(self, config, action, positional, named):
        raise Err(DriverError_Unsupported(f"this driver has no action '{action}'"))
