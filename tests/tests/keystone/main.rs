//! Who may do what, with a real Keystone.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

use congress_test_services::Keystone;

#[tokio::test]
async fn the_service_itself() {
    let mut keystone = Keystone::start().await.unwrap();
    keystone.add_user("ada", "pw", "demo", "member").await.unwrap();
    let token = keystone.token("ada", "pw", Some("demo")).await.unwrap();
    assert!(!token.is_empty());
    keystone.revoke(&token).await.unwrap();
    keystone.stop().await.unwrap();
    keystone.run().await.unwrap();
    keystone.token("ada", "pw", None).await.unwrap();
}
