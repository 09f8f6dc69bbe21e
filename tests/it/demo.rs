//! `tributary demo` to its end, with each set of feeds.

use tokio::process::Command;

/// What it leaves on the screen.
async fn demo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.args(["demo", "--exit-after-sync", "--contacts", "300", "--payments", "400"]);
    let output = command.args(arguments).kill_on_drop(true).output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(errors.contains("caught up with the source"), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_two_feeds() {
    let shown = demo(&[]).await;
    for part in ["Before and after", "In numbers", "Open conflicts"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(!shown.contains("several providers"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_six_feeds() {
    let shown = demo(&["--feeds", "more"]).await;
    for part in ["Before and after", "people who buy through several providers", "In numbers"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let row = |words: &[&str]| {
        let has = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(shown.lines().any(has), "{words:?}\n{shown}");
    };
    row(&["@", "shopify", "1"]);
    row(&["@", "xendit"]);
    row(&["shopify_orders", "skipped"]);
    row(&["ebook_contacts", "3", "excluded"]);
}
