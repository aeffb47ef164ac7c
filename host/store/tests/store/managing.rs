//! The schema, looked at and changed as the operator's tool does.

use congress_store::{
    At, OpenError, Options, SCHEMA_HISTORY, Store, current_schema, schema_revision, stamp_schema,
    upgrade_schema,
};

use super::{Place, on_all_systems, policy};

on_all_systems! {
    what_is_there_and_what_is_new,
    a_database_is_what_it_is_stamped_as,
}

const HEAD: usize = SCHEMA_HISTORY.len() - 1;

/// A database without any table, which for a server is not what tests usually get.
async fn empty(place: Place) -> Place {
    if place.name().is_empty() { place } else { Place::empty_mariadb().await }
}

async fn what_is_there_and_what_is_new(place: Place) {
    let place = empty(place).await;
    let options = Options::default();
    assert_eq!(current_schema(&place.location, &options).await.unwrap(), None);

    let base = schema_revision("c0125080d572").unwrap();
    let taken = upgrade_schema(&place.location, &options, base).await.unwrap();
    assert_eq!(taken, [base]);
    assert_eq!(current_schema(&place.location, &options).await.unwrap(), Some(base));
    let taken = upgrade_schema(&place.location, &options, HEAD).await.unwrap();
    assert_eq!(taken, (base + 1..=HEAD).collect::<Vec<_>>());
    assert_eq!(current_schema(&place.location, &options).await.unwrap(), Some(HEAD));
    assert!(upgrade_schema(&place.location, &options, HEAD).await.unwrap().is_empty());
    assert!(upgrade_schema(&place.location, &options, base).await.unwrap().is_empty());

    let store = place.open().await;
    store.create_policy(policy("p"), vec![], At::Any).await.unwrap();
}

async fn a_database_is_what_it_is_stamped_as(place: Place) {
    let options = Options::default();
    place.open().await.close().await;
    let old = schema_revision("01e78af70b91").unwrap();
    stamp_schema(&place.location, &options, old).await.unwrap();
    assert_eq!(current_schema(&place.location, &options).await.unwrap(), Some(old));
    let refused = Store::open(&place.location, &options).await.unwrap_err();
    assert!(matches!(refused, OpenError::OldOriginal { .. }), "{refused}");
    let refused = upgrade_schema(&place.location, &options, HEAD).await.unwrap_err();
    assert!(refused.to_string().contains("with the original's congress-db-manage"), "{refused}");

    stamp_schema(&place.location, &options, HEAD).await.unwrap();
    assert_eq!(current_schema(&place.location, &options).await.unwrap(), Some(HEAD));
    assert_eq!(place.text("SELECT version_num FROM alembic_version").await, "c0125080d572");
    place.open().await.policies().await.unwrap();
}
