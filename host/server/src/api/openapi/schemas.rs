//! What bodies look like, as JSON Schema.

use serde_json::{Map, Value, json};

/// All schemas, by name.
pub(super) fn all() -> Map<String, Value> {
    let mut all = Map::new();
    for part in [common(), policies(), rules(), rows(), library(), datasources(), drivers()] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    all
}

fn nullable_text() -> Value {
    json!({ "type": ["string", "null"] })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn short(most: u32) -> Value {
    json!({ "type": "string", "maxLength": most })
}

/// An object with exactly these properties at least; others may come later.
fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

fn common() -> Value {
    json!({
        "Error": object(&["error"], json!({
            "error": object(&["message", "error_code", "error_data"], json!({
                "message": text(),
                "error_code": {
                    "type": "integer",
                    "description": "A number of the catalogue (1000 to 1022), or the status",
                },
                "error_data": {"description": "Particulars for programs, or null"},
            })),
        })),
        "Anything": {"description": "Any JSON value"},
        "Null": {"type": "null"},
        "NullOrEmpty": {"type": ["null", "object"]},
    })
}

fn policies() -> Value {
    let kind = json!({
        "type": "string",
        "description": "nonrecursive, action, database, materialized, datasource or z3",
    });
    json!({
        "Policy": object(
            &["id", "name", "abbreviation", "description", "owner_id", "kind"],
            json!({
                "id": text(),
                "name": text(),
                "abbreviation": short(5),
                "description": text(),
                "owner_id": text(),
                "kind": kind,
                "rules": {
                    "type": "array",
                    "description": "Only of one that is created with rules",
                    "items": object(&["rule", "comment", "name"], json!({
                        "rule": text(), "comment": text(), "name": nullable_text(),
                    })),
                },
            }),
        ),
        "NewPolicy": {
            "type": "object",
            "properties": {
                "name": short(255),
                "abbreviation": {"type": ["string", "null"], "maxLength": 5},
                "description": nullable_text(),
                "kind": nullable_text(),
                "rules": {"type": "array", "items": {"$ref": "#/components/schemas/NewRule"}},
            },
        },
        "PolicyChanges": {
            "type": "object",
            "properties": {"abbreviation": short(5), "description": text()},
            "additionalProperties": false,
        },
        "PolicyStatus": object(&["name"], json!({ "name": text(), "id": text() })),
        "PolicyAction": {
            "type": "object",
            "description": "Of simulate: query, sequence and action_policy. Of execute: name, as \
                            datasource:action, and args",
            "properties": {
                "query": text(),
                "sequence": text(),
                "action_policy": text(),
                "name": text(),
                "args": {"$ref": "#/components/schemas/Arguments"},
            },
        },
        "Simulated": {
            "type": "object",
            "description": "Of simulate; of execute it is empty",
            "properties": {
                "result": {"type": "array", "items": text()},
                "trace": text(),
            },
        },
        "Arguments": {
            "type": "object",
            "properties": {"positional": {"type": "array"}, "named": {"type": "object"}},
        },
    })
}

fn rules() -> Value {
    json!({
        "Rule": object(&["id", "rule", "name", "comment"], json!({
            "id": text(), "rule": text(), "name": nullable_text(), "comment": text(),
        })),
        "NewRule": object(&["rule"], json!({
            "rule": text(),
            "name": {"type": ["string", "null"], "maxLength": 255},
            "comment": {"type": ["string", "null"], "maxLength": 255},
        })),
        "NewRules": {
            "oneOf": [
                {"$ref": "#/components/schemas/NewRule"},
                object(&["rules"], json!({
                    "rules": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 10_000,
                        "items": {"$ref": "#/components/schemas/NewRule"},
                    },
                })),
            ],
        },
        "RuleOrRules": {
            "oneOf": [
                {"$ref": "#/components/schemas/Rule"},
                object(&["results"], json!({
                    "results": {"type": "array", "items": {"$ref": "#/components/schemas/Rule"}},
                })),
            ],
        },
        "RuleChanges": {
            "type": "object",
            "properties": {
                "rule": text(),
                "name": {"type": ["string", "null"], "maxLength": 255},
                "comment": {"type": ["string", "null"], "maxLength": 255},
            },
            "additionalProperties": false,
        },
        "RuleStatus": object(&["id", "comment", "original_str"], json!({
            "id": text(),
            "comment": text(),
            "original_str": text(),
            "name": text(),
            "error": {"type": "string", "description": "Why it has no effect, if it has none"},
            "warnings": {
                "type": "array",
                "items": text(),
                "description": "What was perhaps not meant; with `detail` only",
            },
        })),
    })
}

fn rows() -> Value {
    json!({
        "Table": object(&["id"], json!({ "id": text() })),
        "Row": object(&["data"], json!({
            "data": {"type": "array", "items": {"type": ["number", "string", "null", "boolean"]}},
        })),
        "Rows": object(&["results"], json!({
            "results": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}},
            "trace": text(),
            "next_marker": nullable_text(),
        })),
        "Explanation": object(&["holds", "text"], json!({
            "holds": {"type": "boolean"},
            "text": {"type": "string", "description": "The whole for people"},
            "steps": {
                "type": "array",
                "description": "If it holds: the row, and what it follows from",
                "items": object(&["literal", "policy", "reason", "premises"], json!({
                    "literal": text(),
                    "policy": text(),
                    "reason": {
                        "type": "string",
                        "enum": ["fact", "rule", "computed", "no_row", "truth", "cut"],
                    },
                    "rule": text(),
                    "number": {"type": "integer"},
                    "premises": {"type": "array", "items": {"type": "integer"}},
                })),
            },
            "literal": text(),
            "policy": text(),
            "facts": {"type": "integer"},
            "rules": {
                "type": "array",
                "description": "If it does not: how far each rule got",
                "items": object(&["rule", "number", "failure"], json!({
                    "rule": text(),
                    "number": {"type": "integer"},
                    "failure": {
                        "type": "string",
                        "enum": ["body", "head", "width", "no_result", "unequal"],
                    },
                })),
            },
        })),
    })
}

fn library() -> Value {
    let rule = json!({"$ref": "#/components/schemas/LibraryRule"});
    json!({
        "LibraryRule": object(&["rule"], json!({
            "rule": text(), "name": short(255), "comment": short(255),
        })),
        "LibraryPolicy": object(&["id", "name", "abbreviation", "description", "kind"], json!({
            "id": text(),
            "name": text(),
            "abbreviation": short(5),
            "description": text(),
            "kind": text(),
            "rules": {"type": "array", "items": rule},
        })),
        "NewLibraryPolicy": object(&["name", "rules"], json!({
            "name": {"type": "string", "minLength": 1, "maxLength": 255},
            "abbreviation": {"type": "string", "minLength": 1, "maxLength": 5},
            "description": text(),
            "kind": {
                "type": "string",
                "enum": [
                    "database", "nonrecursive", "action", "z3", "materialized", "delta",
                    "datasource",
                ],
            },
            "rules": {"type": "array", "items": rule},
        })),
    })
}

fn datasources() -> Value {
    let config = json!({ "type": ["object", "null"] });
    json!({
        "Datasource": object(
            &["id", "name", "driver", "description", "type", "enabled", "config"],
            json!({
                "id": text(),
                "name": text(),
                "driver": text(),
                "description": nullable_text(),
                "type": {"type": "null"},
                "enabled": {"type": "boolean"},
                "config": config,
            }),
        ),
        "NewDatasource": object(&["name", "driver"], json!({
            "id": nullable_text(),
            "name": text(),
            "driver": text(),
            "description": nullable_text(),
            "enabled": {"type": ["boolean", "null"]},
            "config": config,
        })),
        "DatasourceChanges": {
            "type": "object",
            "properties": {
                "description": nullable_text(),
                "enabled": {"type": "boolean"},
                "config": {"type": "object"},
            },
            "additionalProperties": false,
        },
        "DatasourceAction": {
            "type": "object",
            "description": "Of execute: the action's name and arguments",
            "properties": {
                "name": text(),
                "args": {"$ref": "#/components/schemas/Arguments"},
            },
        },
        "DatasourceStatus": {"type": "object"},
        "Schema": object(&["tables"], json!({
            "tables": {"type": "array", "items": {"$ref": "#/components/schemas/TableSchema"}},
        })),
        "TableSchema": object(&["table_id", "columns"], json!({
            "table_id": text(),
            "columns": {
                "type": "array",
                "items": object(&["name", "description"], json!({
                    "name": text(), "description": nullable_text(),
                })),
            },
        })),
        "ActionDescription": object(&["name", "args", "description"], json!({
            "name": text(),
            "description": nullable_text(),
            "args": {
                "type": "array",
                "items": object(&["name", "description"], json!({
                    "name": text(), "description": nullable_text(),
                })),
            },
        })),
        "Action": object(&["id"], json!({ "id": text() })),
    })
}

fn drivers() -> Value {
    json!({
        "Driver": object(&["id", "description"], json!({ "id": text(), "description": text() })),
        "DriverDetails": object(&["id", "description", "config", "tables"], json!({
            "id": text(),
            "description": text(),
            "config": {"type": "object"},
            "secret": {"type": "array", "items": text()},
            "tables": {"type": "array", "items": {"$ref": "#/components/schemas/TableSchema"}},
        })),
    })
}
