//! The generated bindings of `wit/datasource.wit`. A module of its own, for it takes the compiler
//! long; everything else converts to and from its types at the border.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "datasource",
    imports: {
        "congress:datasource/session": async | trappable,
        "congress:datasource/files": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    require_store_data_send: true,
});

pub(crate) use congress::datasource::{files, logging, schedule, session, sink, state, types};
pub(crate) use exports::congress::datasource::driver;
