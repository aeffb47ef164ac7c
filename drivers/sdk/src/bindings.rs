//! The contract of `wit/datasource.wit` in Rust, as generated. Drivers use the rest of this crate
//! and come here only for what it does not wrap.

#![expect(missing_docs, reason = "generated code; its documentation is that of the WIT file")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "datasource",
    additional_derives: [PartialEq],
    generate_unused_types: true,
    export_macro_name: "export_component",
    pub_export_macro: true,
    default_bindings_module: "congress_driver::bindings",
});
