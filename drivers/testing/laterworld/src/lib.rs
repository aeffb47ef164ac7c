//! A driver for a version of the contract that no host has: it must be refused with a sentence
//! that says which versions there are.

#![expect(unsafe_code, missing_docs, reason = "generated bindings")]

wit_bindgen::generate!({
    inline: "
        package congress:datasource@9.0.0;

        interface driver {
            describe: func() -> string;
            poll: func(config: string) -> result<string, string>;
        }

        world datasource {
            export driver;
        }
    ",
});

struct Later;

impl exports::congress::datasource::driver::Guest for Later {
    fn describe() -> String {
        "later".to_owned()
    }

    fn poll(config: String) -> Result<String, String> {
        Ok(config)
    }
}

export!(Later);
