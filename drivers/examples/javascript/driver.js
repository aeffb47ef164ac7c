// The moons that a JSON service lists: one GET, one table.

import { send } from "congress:datasource/session@1.0.0";
import { replace } from "congress:datasource/sink@1.0.0";

const column = (name, type) => ({ name, type, nullable: true });
const moons = {
  name: "moons",
  columns: [column("name", "text"), column("planet", "text"), column("radius", "float")],
};
const cell = (tag, val) => (val === null || val === undefined ? { tag: "null" } : { tag, val });

class DriverError extends Error {
  constructor(tag, val) {
    super(val);
    this.payload = { tag, val };
  }
}

export const driver = {
  describe() {
    const field = (name, type, required, description) =>
      ({ name, type, required, secret: false, description });
    return {
      id: "moons_js", version: "0.1.0", description: "Moons, as a JSON service lists them.",
      config: [
        field("url", "text", true, "Where the list is."),
        field("poll_time", "integer", false, "Seconds between polls."),
      ],
      // `{url}` grants the host that the datasource is configured with, and no other.
      tables: [moons], actions: [], feed: "poll", session: "none", hosts: ["{url}"], files: [],
    };
  },

  tables: (config) => [moons],

  poll(config, wanted) {
    const { url } = Object.fromEntries(config);
    const headers = [["accept", "application/json"]];
    const answer = send({ method: "GET", url, headers });
    if (answer.status !== 200)
      throw new DriverError("connection", `${url} answered with status ${answer.status}`);
    const row = ({ name, planet, radius }) =>
      [cell("text", name), cell("text", planet), cell("float", radius)];
    let rows;
    try {
      rows = JSON.parse(new TextDecoder().decode(answer.body)).map(row);
    } catch (e) {
      throw new DriverError("protocol", `${url} gave no list of moons: ${e.message}`);
    }
    replace("moons", rows);
  },

  receive: (config, push) => { throw new DriverError("unsupported", "no rows can be pushed"); },
  upkeep: (config) => {},
  execute: (config, action) => { throw new DriverError("unsupported", `no action '${action}'`); },
};
