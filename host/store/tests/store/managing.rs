//! The schema, looked at and changed as the operator's tool does.

use congress_store::{
    At, OpenError, Options, SCHEMA_HISTORY, Store, current_schema, downgrade_schema,
    schema_revision, stamp_schema, upgrade_schema,
};

use super::{Place, on_all_systems, policy};

on_all_systems! {
    what_is_there_and_what_is_new,
    a_database_is_what_it_is_stamped_as,
    steps_are_undone_and_taken_again,
}

const HEAD: usize = SCHEMA_HISTORY.len() - 1;

async fn what_is_there_and_what_is_new(place: Place) {
    let place = place.emptied().await;
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

async fn steps_are_undone_and_taken_again(place: Place) {
    let options = Options::default();
    let store = place.open().await;
    store.create_policy(policy("p"), vec![], At::Any).await.unwrap();
    store.close().await;
    let base = schema_revision("c0125080d572").unwrap();

    let undone = downgrade_schema(&place.location, &options, Some(base + 1)).await.unwrap();
    assert_eq!(undone, [base + 2]);
    assert_eq!(current_schema(&place.location, &options).await.unwrap(), Some(base + 1));
    assert!(downgrade_schema(&place.location, &options, Some(HEAD)).await.unwrap().is_empty());

    // As the original has it, with what is in its tables.
    let undone = downgrade_schema(&place.location, &options, Some(base)).await.unwrap();
    assert_eq!(undone, [base + 1]);
    assert_eq!(current_schema(&place.location, &options).await.unwrap(), Some(base));
    assert_eq!(place.text("SELECT version_num FROM alembic_version").await, "c0125080d572");
    assert_eq!(place.text("SELECT name FROM policies").await, "p");

    // And adopted again.
    let taken = upgrade_schema(&place.location, &options, HEAD).await.unwrap();
    assert_eq!(taken, [base + 1, base + 2]);
    let store = place.open().await;
    store.policy("p").await.unwrap();
    store.close().await;

    let undone = downgrade_schema(&place.location, &options, None).await.unwrap();
    assert_eq!(undone, (base..=HEAD).rev().collect::<Vec<_>>());
    assert_eq!(current_schema(&place.location, &options).await.unwrap(), None);
    assert!(downgrade_schema(&place.location, &options, None).await.unwrap().is_empty());
    upgrade_schema(&place.location, &options, HEAD).await.unwrap();
    assert!(place.open().await.policies().await.unwrap().is_empty());
}
