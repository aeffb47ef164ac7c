//! A later build of the template: `greetings` has one more column, and `farewells` are new. It
//! refuses the name `Nobody`, and cannot read `Ghost`.

use congress_driver::prelude::*;

struct Greeter;

impl Driver for Greeter {
    fn metadata() -> Metadata {
        metadata("template", env!("CARGO_PKG_VERSION"), "Greets everyone in `names`, and leaves.")
            .with_config([
                field("names", "Whom to greet, separated by commas.").required(),
                poll_time(),
            ])
            .with_tables([
                table("greetings", [text("name"), text("greeting"), integer("length")]),
                table("farewells", [text("name")]),
            ])
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        if config.text("names")?.contains("Nobody") {
            return Err(Error::Config("Nobody cannot be greeted".into()));
        }
        Ok(Self::metadata().tables)
    }

    fn poll(config: &Config, _: &Wanted) -> Result<()> {
        let names: Vec<&str> = config.text("names")?.split(',').map(str::trim).collect();
        if names.contains(&"Ghost") {
            return Err(Error::Connection("Ghost does not answer".into()));
        }
        let greeting = |name: &&str| {
            let length = i64::try_from(name.len()).unwrap_or(i64::MAX);
            vec![(*name).into(), format!("Hello again, {name}!").into(), length.into()]
        };
        rows::replace("greetings", names.iter().map(greeting))?;
        rows::replace("farewells", names.iter().map(|name| vec![(*name).into()]))
    }
}

export_driver!(Greeter);
