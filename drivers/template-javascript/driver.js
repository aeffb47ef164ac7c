// A first driver: copy this folder, change what it is called and what it reads.

import { replace } from "congress:datasource/sink@1.0.0";

const text = (val) => ({ tag: "text", val });
const column = (name) => ({ name, description: undefined, type: "text", nullable: true });
const greetings = { name: "greetings", columns: ["name", "greeting"].map(column), root: undefined };

// An error for the host: its payload becomes the datasource's `last_error`.
class DriverError extends Error {
  constructor(tag, val) {
    super(val);
    this.payload = { tag, val };
  }
}

export const driver = {
  describe() {
    return {
      id: "template",
      version: "0.1.0",
      description: "Greets everyone in `names`.",
      config: [
        { name: "names", description: "Whom to greet, separated by commas.", type: "text",
          required: true, secret: false },
        { name: "poll_time", description: "Seconds between polls; 0 polls only on request.",
          type: "integer", required: false, secret: false },
      ],
      tables: [greetings],
      actions: [],
      feed: "poll",
      session: "none",
      hosts: [],
      files: [],
    };
  },

  tables(config) {
    return [greetings];
  },

  poll(config, wanted) {
    const { names } = Object.fromEntries(config);
    if (names === undefined) throw new DriverError("config", "field 'names' is not set");
    const row = (name) => [text(name), text(`Hello, ${name}!`)];
    replace("greetings", names.split(",").map((name) => row(name.trim())));
  },

  receive(config, push) {
    throw new DriverError("unsupported", "this driver takes no pushed rows");
  },

  upkeep(config) {},

  execute(config, action, positional, named) {
    throw new DriverError("unsupported", `this driver has no action '${action}'`);
  },
};
