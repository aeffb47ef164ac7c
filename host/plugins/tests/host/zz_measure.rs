use std::time::Instant;
use crate::common::*;
use congress_plugins::*;
use serde_json::json;
#[tokio::test(flavor="multi_thread")]
async fn measure() {
    let host = Host::new(local_config()).unwrap();
    let t=Instant::now(); let d = hostile(&host).await; println!("load cached {:?} {}", t.elapsed(), d.is_from_cache());
    let s = d.datasource("d", &values(json!({"mode":"wanted"})), State::default()).await.unwrap();
    for _ in 0..100 { s.poll(&["report"]).await.unwrap(); }
    let mut best=u128::MAX; let t=Instant::now();
    for _ in 0..2000 { let t=Instant::now(); s.poll(&["report"]).await.unwrap(); best=best.min(t.elapsed().as_nanos()); }
    println!("poll mean {:?} best {best} ns", t.elapsed()/2000);
    let s = d.datasource("d", &values(json!({"mode":"many-rows","count":100000})), State::default()).await.unwrap();
    for _ in 0..8 { let t=Instant::now(); let o=s.poll(&["report"]).await.unwrap(); let e=t.elapsed(); println!("100k x 2 {:?} in instance {:?}", e, o.figures.duration); }
}
