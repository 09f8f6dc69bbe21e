//! Every command of the README is run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::world::World;

/// Lines of the README's blocks of this language, comments left out.
fn commands(language: &str) -> Vec<String> {
    let begin = format!("```{language}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("```") {
            inside = line == begin;
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
    for command in commands("sh") {
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

/// What stands in for the programs of a host and of a cluster: it notes how it was called, and does what the next command needs.
const STAND_INS: [(&str, &str); 3] = [
    ("systemctl", ""),
    ("systemd-tmpfiles", "[ -f \"$2\" ] && install -d -m 711 \"$ROOT/etc/tributary\""),
    ("kubectl", "for last; do :; done; [ -f \"$last/kustomization.yaml\" ]"),
];

/// Installing, upgrading, backing up and retiring, in the order of the README: files go below a folder, systemd and the cluster are
/// stand-ins, everything else is real.
#[tokio::test(flavor = "multi_thread")]
async fn the_operations_of_the_readme_work() {
    let world = World::canonical(crate::noticed::ROWS).await;
    let mut daemon = Some(world.started().await);
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let programs = root.join("programs");
    std::fs::create_dir(&programs).unwrap();
    for (name, script) in STAND_INS {
        let file = programs.join(name);
        let script = format!("#!/bin/sh\nset -e\necho \"{name} $*\" >>\"$ROOT/calls\"\n{script}\n");
        std::fs::write(&file, script).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tributary"), programs.join("tributary"))
        .unwrap();
    let below = root.to_str().unwrap();
    let mut run = 0;
    for command in commands("bash") {
        if command.starts_with("systemctl disable") {
            assert_eq!(daemon.take().unwrap().terminate().await.code(), Some(0));
        }
        let there = command
            .replace(" /etc/", &format!(" {below}/etc/"))
            .replace(" /usr/local/", &format!(" {below}/usr/local/"))
            .replace("target/release/tributary", env!("CARGO_BIN_EXE_tributary"))
            .replace("my-cluster", &format!("{below}/my-cluster"))
            .replace("target.dump", &format!("{below}/target.dump"));
        let like_the_daemon = world.command(&[]);
        let environment = like_the_daemon.as_std().get_envs();
        let environment = environment.filter_map(|(name, value)| Some((name, value?)));
        let script = format!(
            "PATH=\"{}:$(deploy/ensure-postgres.sh):$PATH\"; set -eu; {there}",
            programs.display()
        );
        let output = tokio::process::Command::new("bash")
            .args(["-c", &script])
            .envs(environment)
            .env("ROOT", root)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}\n{said}");
        run += 1;
    }
    assert!(run > 15, "the README's operations were not found");

    let calls = std::fs::read_to_string(root.join("calls")).unwrap();
    for call in ["enable --now --no-block tributary", "restart tributary", "apply -k "] {
        assert!(calls.contains(call), "{calls}");
    }
    // What was installed is what the unit names, and a configuration that is valid with the variables of its environment.
    let unit = std::fs::read_to_string(root.join("etc/systemd/system/tributary.service")).unwrap();
    for file in
        ["/usr/local/bin/tributary", "/etc/tributary/tributary.toml", "/etc/tributary/environment"]
    {
        assert!(unit.contains(file) && root.join(&file[1..]).is_file(), "{file}");
    }
    let mode = |file: &str| root.join(file).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("etc/tributary/environment"), mode("etc/tributary")), (0o600, 0o711));
    is_valid(&root.join("etc/tributary")).await;
    assert!(root.join("target.dump").metadata().unwrap().len() > 1_000);
    let slots =
        format!("select count(*) from pg_replication_slots where slot_name = '{}'", world.slot);
    assert_eq!(world.source.value(&slots).await, "0");
    assert_eq!(world.target.value("to_regnamespace('tributary') is null").await, "true");
}

async fn is_valid(installed: &Path) {
    let environment = std::fs::read_to_string(installed.join("environment")).unwrap();
    let variables = environment.lines().filter(|line| !line.starts_with('#'));
    let shown = tokio::process::Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(["config", "show"])
        .env("TRIBUTARY_CONFIG", installed.join("tributary.toml"))
        .envs(variables.filter_map(|line| line.split_once('=')))
        .output()
        .await
        .unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
}
