//! Stores by name.

use crate::store_contract::servers::Kind;
use crate::store_contract::{Folder, HOUR};

#[tokio::test(flavor = "multi_thread")]
async fn open_the_same_store() {
    let folder = Folder::new("names");
    let path = folder.0.join("db").to_string_lossy().into_owned();
    let mut names = vec![(path.clone(), format!("sqlite:{path}"))];
    for kind in [Kind::Postgres, Kind::Redis] {
        names.extend(tokio::task::block_in_place(|| kind.shared()).map(|server| {
            let url = server.url();
            (url.clone(), url)
        }));
    }
    for (one, other) in names {
        let [one, other] = [trunnion::store::open(&one).await, trunnion::store::open(&other).await]
            .map(|opened| opened.expect("a store"));
        one.sessions.insert("id", "text", HOUR).await.expect("kept");
        assert_eq!(other.sessions.load("id").await.expect("no failure").expect("it is there").text, "text");
        assert_eq!(one.state_key, other.state_key);
        assert_eq!(other.tasks.next_due().await, Ok(None));
    }
    let [one, other] = [trunnion::store::open("memory:").await, trunnion::store::open("memory:").await]
        .map(|opened| opened.expect("a store"));
    one.sessions.insert("id", "text", HOUR).await.expect("kept");
    assert_eq!(other.sessions.load("id").await, Ok(None), "each is its own");
    assert_ne!(one.state_key, other.state_key);
}

#[tokio::test]
async fn that_are_none_are_refused() {
    for (name, why) in [("", "path"), ("sqlite:", "path"), ("a\0b", "path"), ("mysql://h/d", "mysql")] {
        let refused = trunnion::store::open(name).await.expect_err("no name").to_string();
        assert!(refused.contains(why), "{refused}");
    }
}
