//! Images: those of Glance, with their tags.

mod actions;

use congress_driver::openstack::{self, Collection, Service};
use congress_driver::paging::Paging;
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{hdict, list, nested, value};

struct Glance;

impl Driver for Glance {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with OpenStack Images aka Glance.";
        openstack::openstack("glancev2", env!("CARGO_PKG_VERSION"), description, [])
            .with_tables(openstack::tables(&collections()))
            .with_actions(actions::all())
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        image(config)?.poll(&collections(), wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        actions::execute(&image(config)?, call)
    }
}

/// The service at its root: catalogues name it with or without the version.
fn image(config: &Config) -> Result<Service> {
    Ok(Service::find(config, "image", EndpointInterface::Public)?.without_version())
}

fn collections() -> [Collection; 1] {
    let tags = list("tags", "tag")
        .parent_key("id")
        .parent_col("image_id")
        .parent_desc("UUID of image")
        .val_desc("List of image tags");
    let images = hdict("images").fields([
        value("id").desc("UUID of image"),
        value("status").desc("The image status"),
        value("name").desc("Image Name"),
        value("container_format").desc("The container format of image"),
        value("created_at").desc("The date and time when the resource was created"),
        value("updated_at").desc("The date and time when the resource was updated."),
        value("disk_format").desc("The disk format of the image."),
        value("owner").desc("The ID of the owner or tenant of the image"),
        value("protected").desc("Indicates whether the image can be deleted."),
        value("min_ram").desc("minimum amount of RAM in MB required to boot the image"),
        value("min_disk").desc("minimum disk size in GB required to boot the image"),
        value("checksum").desc("Hash of the image data used"),
        value("size").desc("The size of the image data, in bytes."),
        value("file").desc("URL for the virtual machine image file"),
        value("kernel_id").desc("kernel id"),
        value("ramdisk_id").desc("ramdisk id"),
        value("schema").desc("URL for schema of the virtual machine image"),
        value("visibility").desc("The image visibility"),
        nested("tags", tags),
    ]);
    [Collection::new("v2/images", "images", images).paged(Paging::Link(Path::member("next")))]
}

congress_driver::export_driver!(Glance);

#[cfg(test)]
mod tests {
    #[test]
    fn translators_can_work() {
        super::collections()[0].translator().check().unwrap();
    }
}
