#!/usr/bin/env python3
"""Runs a workload on DuckDB or SQLite, in memory and on one thread, and prints the figures.

usage: peers.py --engine duckdb|sqlite --workload NAME [--runs N] FOLDER

`congress-bench` starts it; the steps are named as there (bench/src/runs), and bench/README.md says
what is timed. Prints a JSON list of {"name", "unit", "samples", "answers"}.
"""

import argparse
import glob
import json
import os
import sqlite3
import sys
import time

import datalog_sql

# No further run begins after this many seconds.
ENOUGH = 30


def cell(text):
    kind, value = text[0], text[2:]
    return int(value) if kind == "i" else float(value) if kind == "f" else value


def read_rows(path):
    with open(path) as file:
        return [tuple(map(cell, line.rstrip("\n").split("\t"))) for line in file]


class Workload:
    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "meta.json")) as file:
            self.meta = json.load(file)
        self.rules, self.queries = self.lines("rules.txt"), self.lines("query.txt")
        paths = sorted(glob.glob(os.path.join(folder, "facts", "*.tsv")))
        self.facts = [(os.path.basename(path)[:-4], read_rows(path)) for path in paths]

    def lines(self, name):
        with open(os.path.join(self.folder, name)) as file:
            return [line.rstrip("\n") for line in file if line.strip()]

    def updates(self):
        """Lists of (insert, table, row)."""
        for path in sorted(glob.glob(os.path.join(self.folder, "updates", "*.tsv"))):
            with open(path) as file:
                lines = [line.rstrip("\n").split("\t") for line in file]
            yield [(line[0] == "+", line[1], tuple(map(cell, line[2:]))) for line in lines]


class Sqlite:
    types = {int: "INTEGER", float: "REAL", str: "TEXT"}

    def __init__(self):
        self.connection = sqlite3.connect(":memory:", isolation_level=None,
                                          cached_statements=1000)

    def execute(self, sql):
        return self.connection.execute(sql)

    def fetch(self, sql, few=False):
        return self.connection.execute(sql).fetchall()

    def count(self, answers):
        return len(answers)

    def create(self, table, row):
        columns = ["c%d %s" % (c, self.types[type(value)]) for c, value in enumerate(row)]
        self.execute('CREATE TABLE "%s" (%s)' % (table, ", ".join(columns)))

    def insert(self, table, rows):
        if not rows:
            return
        marks = ", ".join("?" * len(rows[0]))
        self.connection.executemany('INSERT INTO "%s" VALUES (%s)' % (table, marks), rows)

    def delete(self, table, rows):
        if not rows:
            return
        where = " AND ".join("c%d = ?" % c for c in range(len(rows[0])))
        self.connection.executemany('DELETE FROM "%s" WHERE %s' % (table, where), rows)

    def ready(self, table, row):
        """Indexes, once the rows are there: the cheapest order."""
        for c in range(len(row)):
            self.execute('CREATE INDEX "%s_c%d" ON "%s" (c%d)' % (table, c, table, c))
        self.execute('ANALYZE "%s"' % table)


class DuckDb:
    types = {int: "BIGINT", float: "DOUBLE", str: "VARCHAR"}

    def __init__(self):
        import duckdb
        import pyarrow

        self.arrow = pyarrow
        self.connection = duckdb.connect(":memory:", config={"threads": 1})

    def execute(self, sql):
        return self.connection.execute(sql)

    def fetch(self, sql, few=False):
        """A few answers are cheaper as tuples, many as columns."""
        if few:
            return self.connection.execute(sql).fetchall()
        return self.connection.sql(sql).to_arrow_table()

    def count(self, answers):
        return len(answers)

    create = Sqlite.create

    def columns(self, rows):
        return self.arrow.table({"c%d" % c: list(cells) for c, cells in enumerate(zip(*rows))})

    def insert(self, table, rows):
        """By way of Arrow: statements with values take a hundred times as long."""
        if rows:
            self.connection.register("incoming", self.columns(rows))
            self.execute('INSERT INTO "%s" SELECT * FROM incoming' % table)
            self.connection.unregister("incoming")

    def delete(self, table, rows):
        if rows:
            self.connection.register("outgoing", self.columns(rows))
            same = " AND ".join("t.c%d = o.c%d" % (c, c) for c in range(len(rows[0])))
            self.execute('DELETE FROM "%s" t USING outgoing o WHERE %s' % (table, same))
            self.connection.unregister("outgoing")

    def ready(self, table, row):
        """It keeps minima and maxima of blocks by itself."""


class Steps:
    def __init__(self):
        self.steps = {}

    def get(self, name):
        empty = {"name": name, "unit": "seconds", "samples": [], "answers": []}
        return self.steps.setdefault(name, empty)

    def time(self, name, work):
        begun = time.perf_counter()
        result = work()
        self.sample(name, time.perf_counter() - begun)
        return result

    def sample(self, name, seconds):
        self.get(name)["samples"].append(seconds)

    def answers(self, name, count):
        self.get(name)["answers"].append(count)

    def add(self, run):
        for name, step in run.steps.items():
            own = self.get(name)
            if own["samples"] and own["answers"] != step["answers"]:
                sys.exit("step '%s' had other answers in another run" % name)
            own["answers"] = step["answers"]
            own["samples"] += step["samples"]


def in_transaction(engine, work):
    engine.execute("BEGIN")
    result = work()
    engine.execute("COMMIT")
    return result


def load(engine, workload, batch=None):
    def work():
        for table, rows in workload.facts:
            engine.create(table, rows[0])
            for at in range(0, len(rows), batch or len(rows)):
                engine.insert(table, rows[at:at + (batch or len(rows))])
            engine.ready(table, rows[0])

    in_transaction(engine, work)


def insert_rules(engine, workload):
    def work():
        for statement in datalog_sql.views(workload.rules):
            engine.execute(statement)

    in_transaction(engine, work)


def apply(engine, changes):
    """All removals of a table at once, then all that comes to it."""
    removed, added = {}, {}
    for insert, table, row in changes:
        (added if insert else removed).setdefault(table, []).append(row)

    def work():
        for table, rows in removed.items():
            engine.delete(table, rows)
        for table, rows in added.items():
            engine.insert(table, rows)

    in_transaction(engine, work)


def read(engine, workload, query, steps, name):
    """Times a query: translated before, for that is no part of the engine's work."""
    sql = datalog_sql.query(query, workload.rules)
    answers = steps.time(name, lambda: engine.fetch(sql))
    steps.answers(name, engine.count(answers))
    return engine.count(answers)


def facts_only(engine, workload, steps):
    for table, rows in workload.facts:
        engine.create(table, rows[0])
        if "insert" in workload.meta["name"]:
            texts = ['INSERT INTO "%s" VALUES (%s)' % (table, row[0]) for row in rows]
            steps.time("insert the facts one by one",
                       lambda: [engine.execute(text) for text in texts])
        else:
            steps.time("insert all facts at once",
                       lambda: in_transaction(engine, lambda: engine.insert(table, rows)))
    read(engine, workload, workload.queries[0], steps, "read it")


def indexing(engine, workload, steps):
    sql = datalog_sql.query(workload.queries[0], workload.rules)

    def work():
        load(engine, workload)
        insert_rules(engine, workload)
        return engine.fetch(sql, few=True)

    answers = steps.time("three updates, a rule, a query", work)
    steps.answers("three updates, a rule, a query", engine.count(answers))


def initialize_tables(engine, workload, steps):
    steps.time("load", lambda: load(engine, workload))
    read(engine, workload, workload.queries[0], steps, "read it")


def select(engine, workload, steps):
    steps.time("load", lambda: load(engine, workload))
    steps.time("insert the rules", lambda: insert_rules(engine, workload))
    query, repeat = workload.queries[0], workload.meta["repeat"]
    sql = datalog_sql.query(query, workload.rules)
    name = "%s, %d times" % (query, repeat)
    answers = steps.time(name, lambda: [engine.fetch(sql, few=True) for _ in range(repeat)])
    steps.answers(name, engine.count(answers[-1]))


def simulate(engine, workload, steps):
    """The difference by hand: query, change, query again, take the change back."""
    steps.time("load", lambda: load(engine, workload))
    steps.time("insert the rules", lambda: insert_rules(engine, workload))
    sql, repeat = datalog_sql.query(workload.queries[0], workload.rules), workload.meta["repeat"]
    table, cells = workload.meta["sequence"].rstrip(")").split("-(")
    row = tuple(map(int, cells.split(",")))
    where = " AND ".join("c%d = %d" % pair for pair in enumerate(row))

    def once():
        engine.execute("BEGIN")
        before = set(engine.fetch(sql, few=True))
        engine.execute('DELETE FROM "%s" WHERE %s' % (table, where))
        after = set(engine.fetch(sql, few=True))
        engine.execute("ROLLBACK")
        return before ^ after

    name = "simulate %d times" % repeat
    changes = steps.time(name, lambda: [once() for _ in range(repeat)])
    steps.answers(name, len(changes[-1]))


def queries(engine, workload, steps):
    steps.time("load", lambda: load(engine, workload))
    steps.time("insert the rules", lambda: insert_rules(engine, workload))
    seen = set()
    for query in workload.queries[:1] + workload.queries:
        read(engine, workload, query, steps, query + (" again" if query in seen else ""))
        seen.add(query)


def reachability(engine, workload, steps):
    def work():
        load(engine, workload)
        insert_rules(engine, workload)

    steps.time("insert rules and edges", work)
    for query in workload.queries:
        read(engine, workload, query, steps, query)


def incremental(engine, workload, steps):
    steps.time("load", lambda: load(engine, workload))
    steps.time("insert the rules", lambda: insert_rules(engine, workload))
    texts = [datalog_sql.query(query, workload.rules) for query in workload.queries]

    def read_all():
        return sum(engine.count(engine.fetch(text, few=True)) for text in texts)

    steps.answers("first read of all heads", steps.time("first read of all heads", read_all))
    for changes in workload.updates():
        begun = time.perf_counter()
        steps.time("apply a step", lambda: apply(engine, changes))
        steps.answers("re-read all heads", steps.time("re-read all heads", read_all))
        both = time.perf_counter() - begun
        # Neither can watch a view: both of our ways compare with this.
        steps.sample("step and all heads, re-read", both)
        steps.sample("step and all heads, watched", both)


def war_story(engine, workload, steps):
    steps.time("load", lambda: load(engine, workload))
    steps.time("insert the rules", lambda: insert_rules(engine, workload))
    query = workload.queries[0]
    read(engine, workload, query, steps, "cold answer")
    for changes in workload.updates():
        steps.time("apply a 1 % change", lambda: apply(engine, changes))
        read(engine, workload, query, steps, "answer after it")


def load_1m(engine, workload, steps):
    steps.time("load", lambda: load(engine, workload, 10000))
    read(engine, workload, workload.queries[0], steps, "first query for one row")


def point_query(engine, workload, steps):
    load(engine, workload)
    # A scan of all rows takes DuckDB a while.
    wanted = workload.queries[:: 1 if isinstance(engine, Sqlite) else 50]
    texts = [datalog_sql.query(query, []) for query in wanted]
    begun = time.perf_counter()
    count = sum(engine.count(engine.fetch(text, few=True)) for text in texts)
    steps.sample("one of many point queries", (time.perf_counter() - begun) / len(texts))
    steps.answers("one of many point queries", int(count == len(texts)))


def insert_1000_rules(engine, workload, steps):
    load(engine, workload)
    texts = datalog_sql.views(workload.rules)
    steps.time("insert 1000 rules one by one", lambda: [engine.execute(text) for text in texts])
    head = workload.rules[-1].split(" :-")[0]
    read(engine, workload, head, steps, "first read of the last rule")
    read(engine, workload, head, steps, "read it again")


RUNS = {
    "insert_nonrecursive": facts_only, "insert_database": facts_only,
    "update_nonrecursive": facts_only, "update_database": facts_only,
    "indexing": indexing, "initialize_tables": initialize_tables,
    "select_1match": select, "select_100matches": select,
    "simulate_latency": simulate, "join3_negation": queries,
    "reachability_100": reachability, "reachability_200": reachability,
    "reachability_2000": reachability, "reachability_dag_100": reachability,
    "incremental_200rules": incremental, "war_story": war_story,
    "load_1m": load_1m, "point_query": point_query, "insert_1000_rules": insert_1000_rules,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=["duckdb", "sqlite"], required=True)
    parser.add_argument("--workload", choices=sorted(RUNS), required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("folder")
    arguments = parser.parse_args()
    make = Sqlite if arguments.engine == "sqlite" else DuckDb
    try:
        make()
    except ImportError as missing:
        sys.exit("not installed: %s (scripts/bench installs what is needed)" % missing)
    workload, steps, begun = Workload(arguments.folder), Steps(), time.monotonic()
    for run in range(arguments.runs):
        if run and time.monotonic() - begun > ENOUGH:
            break
        one = Steps()
        RUNS[arguments.workload](make(), workload, one)
        steps.add(one)
    json.dump(list(steps.steps.values()), sys.stdout)


if __name__ == "__main__":
    main()
