//! Every command of the README is run.

use crate::support::world::World;

/// Lines of the README's `sh` blocks, comments left out.
fn commands() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside && !line.is_empty() {
            commands.push(line.split(" #").next().unwrap().trim().to_owned());
        }
    }
    commands
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_works() {
    let world = World::canonical("select 1").await;
    let daemon = world.started().await;
    let makefile = include_str!("../../Makefile");
    let mut run = 0;
    for command in commands() {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            // The daemon of this test is the one of the README.
            ["tributary", "run"] => {}
            ["tributary", arguments @ ..] => {
                world.succeed(arguments).await;
            }
            // CI itself runs these.
            ["make", target] => assert!(makefile.contains(&format!("\n{target}:")), "{command}"),
            ["export", assignment] => {
                let (name, _) = assignment.split_once('=').unwrap();
                assert!(["TRIBUTARY_SOURCE_URL", "TRIBUTARY_TARGET_URL"].contains(&name));
            }
            _ => panic!("the README has a command that no test runs: {command}"),
        }
        run += 1;
    }
    assert!(run >= 10, "the README's commands were not found");
    assert_eq!(daemon.terminate().await.code(), Some(0));
}
