"""Rules as SQL views: the part of the policy language that the workloads use.

A table's columns are called c0, c1, …; a view is a set, as a derived table is. Comparisons by
`lt` and `equal`, negation, constants, and heads whose rules refer to themselves (a recursive
common table expression).
"""

import re

TOKEN = re.compile(r'\s*("[^"]*"|-?\d+|not\b|:-|[\w:]+|[(),])')


class Atom:
    def __init__(self, table, args, negated):
        self.table, self.args, self.negated = table, args, negated


def constant(term):
    return term[0] == '"' or term[0].isdigit() or term[0] == "-"


def sql_constant(term):
    return "'%s'" % term[1:-1].replace("'", "''") if term[0] == '"' else term


def parse(text):
    """A rule or an atom, as a list of atoms: the head first."""
    tokens, atoms, negated = TOKEN.findall(text), [], False
    at = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token == "not":
            negated = True
        elif token not in (",", ":-"):
            end = tokens.index(")", at)
            atoms.append(Atom(token, [t for t in tokens[at + 1:end] if t != ","], negated))
            negated, at = False, end + 1
    return atoms


def quoted(name):
    return '"%s"' % name


def compared(atom, place):
    """A builtin as a condition, or None if it is a table."""
    operators = {"lt": ("<", ">="), "equal": ("=", "<>")}
    name = atom.table.removeprefix("builtin:")
    if name not in operators or (name == "equal" and atom.table == name):
        return None
    left, right = (place[a] if a in place else sql_constant(a) for a in atom.args)
    return "%s %s %s" % (left, operators[name][atom.negated], right)


def select(rule, bound=None):
    """The rows of one rule. `bound`: constants for some of the head's columns, by position."""
    head, body = rule[0], rule[1:]
    place, tables, where, inner = {}, [], [], []
    for at, atom in enumerate(body):
        if atom.negated or atom.table in ("lt", "builtin:equal"):
            continue
        tables.append("%s AS a%d" % (quoted(atom.table), at))
        for column, arg in enumerate(atom.args):
            here = "a%d.c%d" % (at, column)
            if constant(arg):
                where.append("%s = %s" % (here, sql_constant(arg)))
            elif arg in place:
                where.append("%s = %s" % (here, place[arg]))
            else:
                place[arg] = here
    for at, atom in enumerate(body):
        condition = compared(atom, place)
        if condition:
            where.append(condition)
        elif atom.negated:
            inner = ["n%d.c%d = %s" % (at, column, place.get(arg) or sql_constant(arg))
                     for column, arg in enumerate(atom.args)]
            where.append("NOT EXISTS (SELECT 1 FROM %s AS n%d WHERE %s)"
                         % (quoted(atom.table), at, " AND ".join(inner)))
    for column, value in (bound or {}).items():
        where.append("%s = %s" % (place[head.args[column]], value))
    columns = ", ".join("%s AS c%d" % (place.get(arg) or sql_constant(arg), column)
                        for column, arg in enumerate(head.args))
    text = "SELECT DISTINCT %s FROM %s" % (columns, ", ".join(tables))
    return text + (" WHERE " + " AND ".join(where) if where else "")


def recursive(rule):
    return any(atom.table == rule[0].table for atom in rule[1:])


def closure(rules, bound=None):
    """The rows of a head whose rules refer to themselves. Constants for columns that the recursion
    hands on unchanged are pushed into its start."""
    head = rules[0][0]
    steps = [rule for rule in rules if recursive(rule)]
    start = [rule for rule in rules if not recursive(rule)]

    def handed_on(column):
        return all(atom.args[column] == rule[0].args[column]
                   for rule in steps for atom in rule[1:] if atom.table == head.table)

    pushed = {c: value for c, value in (bound or {}).items() if handed_on(c)}
    left = {c: value for c, value in (bound or {}).items() if c not in pushed}
    parts = [select(rule, pushed) for rule in start]
    parts += [select(rule).replace("SELECT DISTINCT", "SELECT", 1) for rule in steps]
    columns = ", ".join("c%d" % c for c in range(len(head.args)))
    where = " WHERE " + " AND ".join("c%d = %s" % pair for pair in left.items()) if left else ""
    return "WITH RECURSIVE %s(%s) AS (%s) SELECT %s FROM %s%s" % (
        quoted(head.table), columns, " UNION ".join(parts), columns, quoted(head.table), where)


def views(rules):
    """Statements that create a view for each head, those that others read first."""
    heads = {}
    for rule in map(parse, rules):
        heads.setdefault(rule[0].table, []).append(rule)
    made, statements = set(), []

    def make(table):
        if table in made or table not in heads:
            return
        made.add(table)
        for rule in heads[table]:
            for atom in rule[1:]:
                make(atom.table)
        if any(map(recursive, heads[table])):
            text = closure(heads[table])
        else:
            text = " UNION ".join(map(select, heads[table]))
        statements.append("CREATE VIEW %s AS %s" % (quoted(table), text))

    for table in heads:
        make(table)
    return statements


def query(text, rules):
    """A query for one atom: the values of its variables."""
    (atom,) = parse(text)
    own = [rule for rule in map(parse, rules) if rule[0].table == atom.table]
    bound = {c: sql_constant(a) for c, a in enumerate(atom.args) if constant(a)}
    if any(map(recursive, own)):
        return closure(own, bound)
    places, where = {}, ["c%d = %s" % pair for pair in bound.items()]
    for column, arg in enumerate(atom.args):
        if constant(arg):
            continue
        if arg in places:
            where.append("c%d = %s" % (column, places[arg]))
        places.setdefault(arg, "c%d" % column)
    columns = ", ".join(dict.fromkeys(places.values())) or "1"
    distinct = "" if own else "DISTINCT "
    text = "SELECT %s%s FROM %s" % (distinct, columns, quoted(atom.table))
    return text + (" WHERE " + " AND ".join(where) if where else "")
