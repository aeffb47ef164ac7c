//! A valid component of another world: the host must refuse it by name, not crash on it.

#![expect(unsafe_code, missing_docs, reason = "generated bindings")]

wit_bindgen::generate!({
    inline: "
        package elsewhere:greeting@2.0.0;

        world greeting {
            export greet: func(name: string) -> string;
        }
    ",
});

struct Greeting;

impl Guest for Greeting {
    fn greet(name: String) -> String {
        format!("hello {name}")
    }
}

export!(Greeting);
