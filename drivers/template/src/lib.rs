//! A first driver: copy this folder, rename the package in `Cargo.toml`, change what it reads.

use congress_driver::prelude::*;

struct Greeter;

impl Driver for Greeter {
    fn metadata() -> Metadata {
        metadata("template", env!("CARGO_PKG_VERSION"), "Greets everyone in `names`.")
            .with_config([
                field("names", "Whom to greet, separated by commas.").required(),
                poll_time(),
            ])
            .with_tables([table("greetings", [text("name"), text("greeting")])])
    }

    fn poll(config: &Config, _: &Wanted) -> Result<()> {
        let names = config.text("names")?.split(',').map(str::trim);
        rows::replace("greetings", names.map(|n| vec![n.into(), format!("Hello, {n}!").into()]))
    }
}

export_driver!(Greeter);
