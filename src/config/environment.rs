//! `${VAR}` in the file, replaced from the environment (SPEC §9).

use toml::{Table, Value};

use super::section::{Problems, is_bare};

/// Looks an environment variable up. It is passed in, so that no test needs to change the process.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// A variable that is set to something. Container tools pass an unset variable on as an empty one.
pub(super) fn lookup(env: Environment<'_>, name: &str) -> Option<String> {
    env(name).filter(|value| !value.trim().is_empty())
}

/// Replaces `${VAR}` in every text of the file, except at the paths that an override replaces. `$${` is
/// a `${` that stays.
pub(super) fn interpolate(
    table: &mut Table,
    overridden: &[&str],
    env: Environment<'_>,
    problems: &mut Problems,
) {
    walk_table(table, "", &mut |path, text| {
        if !overridden.contains(&path) {
            *text = replaced(text, path, env, problems);
        }
    });
}

fn walk_table(table: &mut Table, path: &str, visit: &mut dyn FnMut(&str, &mut String)) {
    for (key, value) in table.iter_mut() {
        let key = if is_bare(key) { key.to_owned() } else { format!("{key:?}") };
        let path = if path.is_empty() { key } else { format!("{path}.{key}") };
        walk(value, &path, visit);
    }
}

fn walk(value: &mut Value, path: &str, visit: &mut dyn FnMut(&str, &mut String)) {
    match value {
        Value::String(text) => visit(path, text),
        Value::Table(table) => walk_table(table, path, visit),
        Value::Array(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                walk(value, &format!("{path}[{index}]"), visit);
            }
        }
        _ => {}
    }
}

fn replaced(text: &str, path: &str, env: Environment<'_>, problems: &mut Problems) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            whole.push_str(before);
            whole.push_str("${");
            rest = after;
            continue;
        }
        whole.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            problems
                .spoil(path, "a \"${\" has no \"}\" (write \"$${\" for the characters themselves)");
            return whole;
        };
        match is_variable(name).then(|| env(name)) {
            None => problems.spoil(path, "\"${…}\" must hold the name of an environment variable"),
            Some(Some(value)) => whole.push_str(&value),
            Some(None) => {
                problems.spoil(path, format!("the environment variable {name} is not set"));
            }
        }
        rest = after;
    }
    whole.push_str(rest);
    whole
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
