//! No customer value is in a log line, a metric, an answer over HTTP or an error, whatever is done with rows (P14).
//!
//! Every column of six feeds holds canaries, in rows that are well-formed and in rows that are not; they are read, streamed,
//! refused, quarantined, halted in front of, compared, recomputed, imported and erased, with everything logged.

use std::process::Output;

use tributary::engine::key_digest;
use tributary::facts::SourceKey;

use crate::support::daemon::Daemon;
use crate::support::world::{Places, World, set};

/// What only values of customers hold: in texts, phone numbers, amounts, times and seconds since 1970.
const CANARIES: [&str; 5] = ["zqx7", "1337709", "7091337", "1987-06-13", "550566553"];

const TABLES: [&str; 6] =
    ["xendit", "systemeio", "shopify_orders", "stripe_charges", "purchase_leads", "ebook_contacts"];

/// What the target's application refuses, in words of its own and of PostgreSQL. Each detail, message or constraint holds
/// the value.
const REFUSALS: &str = "
    create function scream() returns trigger language plpgsql as $$ begin
        raise warning 'about to write %', new;
        if new.email like 'zqx7-2%' then
            raise exception 'no % here', new.email using errcode = '42501', constraint = new.email, hint = new.email;
        end if;
        if new.email like 'zqx7-5%' then return null; end if;
        if new.email like 'zqx7-6%' then perform new.last_name::int; end if;
        return new; end $$;
    create trigger scream before insert or update on unified_profiles for each row execute function scream();
    alter table unified_profiles add constraint small check (email not like 'zqx7-1%' or first_name is null);
    alter table unified_profiles alter column last_name type varchar(24);
    create unique index one_description on transactions (description, currency) where description like '%wanted twice%';
    create domain short as text check (value not like '%number 3');
    alter table transactions alter column failure_reason type short;
    alter table transactions alter column payment_provider_fee type numeric(9, 2);
    create function later() returns trigger language plpgsql as $$ begin
        if new.description like '%number 4%' then raise exception 'no %', new.description; end if; return null; end $$;
    create constraint trigger later after insert or update on transactions deferrable initially deferred
        for each row execute function later()";

/// A value of a column, as SQL. Rows 1 to 6 are well-formed, 7 to 9 are not.
fn value(table: &str, column: &str, kind: &str, row: u32) -> String {
    let is_whole = row <= 6;
    let is_time = ["created", "updated"].contains(&column) || column.ends_with("_at");
    let text = match (column, is_whole) {
        ("email" | "customer_email" | "receipt_email", true) => format!("Zqx7-{row}@Example.com"),
        ("email", false) if table == "ebook_contacts" => "zqx7 ".repeat(300 * row as usize),
        ("email" | "customer_email" | "receipt_email", false) => {
            format!("zqx7-{row}@@ \u{202e}nowhere")
        }
        ("phone", true) => "0917 133 7709".to_owned(),
        ("phone", false) => "zqx7 0917133770933".to_owned(),
        ("currency", true) => "PHP".to_owned(),
        ("status" | "financial_status", true) => "PAID".to_owned(),
        ("total_price", true) => format!("7091337.0{row}"),
        ("tags", true) => "PaidP2P, Zqx7 tag".to_owned(),
        ("tags", false) => "[\"zqx7, {".to_owned(),
        ("description", true) if row < 3 => "Papers to Profits, Zqx7 wanted twice".to_owned(),
        ("last_name", true) if row == 3 => "Zqx7 of a name that is too long".to_owned(),
        (_, true) if is_time => "1987-06-13T07:09:13Z".to_owned(),
        (_, false) if is_time => "zqx7 o'clock \u{7}".to_owned(),
        (_, true) => format!("Zqx7 {column} number {row}"),
        (_, false) => format!("\u{feff}zqx7\t{column} Ã© {row}"),
    };
    match kind {
        "uuid" => format!("md5('{table}{row}')::uuid"),
        "boolean" => "false".to_owned(),
        "timestamp with time zone" => "'1987-06-13T07:09:13Z'".to_owned(),
        "numeric" | "bigint" if column == "id" => row.to_string(),
        "bigint" if column == "created" => "550566553".to_owned(),
        "numeric" if is_whole => format!("7091337.0{row}"),
        "numeric" => "-7091337e20".to_owned(),
        "bigint" => format!("70913370{row}"),
        "jsonb" if column == "line_items" => {
            format!("'[{{\"title\": \"Papers to Profits Zqx7 {row}\", \"price\": \"7091337\"}}]'")
        }
        "jsonb" if is_whole => format!(
            "'{{\"email\": \"zqx7-{row}@example.com\", \"name\": \"ZQX7 JSON\", \"first_name\": \"Zqx7\", \"phone\": \"09171337709\",
              \"default_address\": {{\"name\": \"Zqx7 Inside\"}}, \"order_id\": \"zqx7-order\", \"product\": \"zqx7 canva\"}}'"
        ),
        "jsonb" => format!("'[\"zqx7 {row}\", {{\"email\": {{\"zqx7\": 1}}}}]'"),
        // An id of a payment, which a source key may show.
        _ if column == "id" => format!("'ch_{row}'"),
        _ => format!("'{}'", text.replace('\'', "''")),
    }
}

/// Statements that insert rows into all tables, or change every other column of them as if they were other rows.
async fn statements(world: &World, rows: std::ops::RangeInclusive<u32>, shift: u32) -> String {
    let client = world.source.connect().await;
    let sql = "select column_name::text, data_type::text from information_schema.columns
               where table_schema = 'public' and table_name = $1 order by ordinal_position";
    let mut text = String::new();
    for table in TABLES {
        let columns = client.query(sql, &[&table]).await.unwrap();
        let columns: Vec<(String, String)> =
            columns.iter().map(|row| (row.get(0), row.get(1))).collect();
        let is_key =
            |column: &str| column == "id" || table == "ebook_contacts" && column == "email";
        for row in rows.clone() {
            let values = |row: u32| {
                columns.iter().map(move |(column, kind)| (column, value(table, column, kind, row)))
            };
            if shift == 0 {
                let values: Vec<String> = values(row).map(|(_, value)| value).collect();
                text += &format!("insert into {table} values ({});", values.join(", "));
            } else {
                let other = (row + shift - 1) % 9 + 1;
                let changes = values(other).filter(|(column, _)| !is_key(column));
                let changes: Vec<String> =
                    changes.map(|(column, value)| format!("{column} = {value}")).collect();
                let keys = values(row).filter(|(column, _)| is_key(column));
                let keys: Vec<String> =
                    keys.map(|(column, value)| format!("{column} = {value}")).collect();
                text += &format!(
                    "update {table} set {} where {};",
                    changes.join(", "),
                    keys.join(" and ")
                );
            }
        }
    }
    text
}

/// Panics where a text holds a value.
fn silent(what: &str, text: &str) {
    let text = text.to_lowercase();
    for canary in CANARIES {
        let line = text.lines().find(|line| line.contains(canary));
        assert!(line.is_none(), "{what} holds {canary}: {}", line.unwrap_or_default());
    }
}

async fn answers_are_silent(daemon: &Daemon) {
    for path in ["/metrics", "/status", "/livez", "/readyz", "/zqx7"] {
        silent(path, &daemon.get(path).await.unwrap().1);
    }
}

/// What a command writes to standard error, with everything logged, holds no value; its result is for the caller.
async fn run(world: &World, arguments: &[&str]) -> Output {
    let output = world.command(arguments).env("RUST_LOG", "trace").output().await.unwrap();
    silent(&format!("{arguments:?}"), &String::from_utf8_lossy(&output.stderr));
    output
}

/// As [`run`], for commands whose result names rows by their keys only.
async fn run_silently(world: &World, arguments: &[&str], code: i32) -> String {
    let output = run(world, arguments).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{text}\n{errors}");
    silent(&format!("the result of {arguments:?}"), &text);
    format!("{text}{errors}")
}

/// The canaries are in the target, or the test would show nothing.
async fn canaries_have_arrived(world: &World) {
    for (table, expected) in [
        ("unified_profiles", 1),
        ("transactions", 3),
        ("tributary.source_row", 30),
        ("tributary.conflict", 5),
    ] {
        let count = format!(
            "select count(*) >= {expected} from {table} t where t::text ~* 'zqx7|{:x?}'",
            b"zqx7".map(|byte| format!("{byte:02x}")).concat()
        );
        assert_eq!(world.target.value(&count.replace('"', "")).await, "true", "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_in_a_log_line_a_metric_an_answer_or_an_error_p14() {
    let world = World::with_more_feeds(Places::Shared).await;
    world.configure(|table| set(table, "run", "chunk_rows", 5));
    world.source.execute(&statements(&world, 1..=9, 0).await).await;
    run_silently(&world, &["migrate"], 0).await;
    world.target.execute(REFUSALS).await;
    run_silently(&world, &["check"], 0).await;
    run_silently(&world, &["backfill", "--dry-run"], 0).await;
    let mut daemon = Daemon::start_with(&world, &[("RUST_LOG", "trace")]);
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(&world).await;
    let refused = "select count(distinct subject) >= 4 from tributary.conflict where kind = 'rejected_row' and status = 'open'";
    assert_eq!(world.target.value(refused).await, "true", "{}", daemon.log());
    canaries_have_arrived(&world).await;

    streams(&world, &mut daemon).await;
    answers_are_silent(&daemon).await;
    compares(&world, &daemon).await;
    commands(&world).await;
    erases(&world, &daemon).await;
    imports(&world).await;
    daemon.signal("TERM").await;
    assert_eq!(daemon.ended().await.code(), Some(0));
    let log = daemon.whole_log();
    silent("the log", &log);
    for part in ["\"level\":\"DEBUG\"", "the target refuses", "halted", "trying again"] {
        assert!(log.contains(part), "{part} is not in the log");
    }
}

/// Every column of every row changes; rows come, go and change their keys; sessions are cut; a column cannot be read for a
/// while; a TRUNCATE waits.
async fn streams(world: &World, daemon: &mut Daemon) {
    world.source.execute(&statements(world, 1..=9, 4).await).await;
    let changes = "update ebook_contacts set email = 'zqx7-moved@example.com' where email = 'Zqx7-3@Example.com';
        update stripe_charges set id = 'ch_moved' where id = 'ch_4';
        delete from xendit where id = md5('xendit4')::uuid;
        delete from ebook_contacts where email like 'zqx7 zqx7%' and length(email) > 13000;
        insert into ebook_contacts values ('zqx7-new@example.com', 'Zqx7', '1987-06-13Z'), ('qa+zqx7@example.com', 'Zqx7', now())";
    world.source.execute(changes).await;
    daemon.wait_until_caught_up(world).await;
    for place in [&world.source, &world.target] {
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity
            where application_name like 'tributary%' and datname = current_database()";
        place.execute(cut).await;
        world.source.execute(&statements(world, 1..=9, 8).await).await;
        daemon.wait_until_caught_up(world).await;
    }
    let unreadable =
        "alter table systemeio alter column phone type bytea using convert_to(phone, 'UTF8');
        update systemeio set last_name = 'Zqx7 unread'";
    world.source.execute(unreadable).await;
    daemon.wait_for_phase("halted").await;
    answers_are_silent(daemon).await;
    run_silently(world, &["check"], 3).await;
    run_silently(world, &["status"], 0).await;
    let readable =
        "alter table systemeio alter column phone type text using convert_from(phone, 'UTF8')";
    world.source.execute(readable).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(world).await;
    world.source.execute("truncate purchase_leads").await;
    daemon.wait_for_phase("halted").await;
    answers_are_silent(daemon).await;
    run_silently(world, &["accept"], 0).await;
    daemon.wait_for_phase("streaming").await;
    daemon.wait_until_caught_up(world).await;
}

/// Differences are named by table, column and key.
async fn compares(world: &World, daemon: &Daemon) {
    let planted = "delete from tributary.source_row where key = 'zqx7-new@example.com';
        update unified_profiles set first_name = 'Zqx7 planted' where email = 'zqx7-4@example.com';
        update transactions set payment_method = 'zqx7 planted' where payment_method is not null;
        update tributary.conflict set evidence = '{\"zqx7\": 1}' where severity = 'info'";
    world.target.execute(planted).await;
    for arguments in [&["verify"][..], &["verify", "--json"], &["validate"], &["log", "list"]] {
        let code = if arguments[0] == "log" { 0 } else { 3 };
        run_silently(world, arguments, code).await;
    }
    run_silently(world, &["verify", "--repair"], 0).await;
    run_silently(world, &["rebuild"], 0).await;
    daemon.wait_until_caught_up(world).await;
}

/// A key that is an address is known by its short form, which leads back to it. No refusal repeats a key.
async fn commands(world: &World) {
    let short = |key: &str| format!("ebook_contacts:#{}", key_digest(&SourceKey(key.into())));
    let explained = run(world, &["explain", &short("zqx7-new@example.com")]).await;
    let text = String::from_utf8(explained.stdout).unwrap();
    assert!(text.starts_with("zqx7-new@example.com\n"), "{text}");
    let shown = run(world, &["conflicts", "show", &short("Zqx7-1@Example.com")]).await;
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("rejected_row") && text.contains("ebook_contacts:Zqx7-1@Example.com"),
        "{text}"
    );
    let left_out = run(world, &["explain", &short("qa+zqx7@example.com")]).await;
    assert_eq!(left_out.status.code(), Some(1));
    let text = String::from_utf8(left_out.stdout).unwrap();
    assert!(text.contains("[rules.exclude] emails leaves it out"), "{text}");

    let absent = "ebook_contacts:zqx7-none@example.com";
    let contact = "ebook_contacts:zqx7-new@example.com";
    let not_a_payment = format!("{} is not a payment", short("zqx7-new@example.com"));
    for (arguments, told) in [
        (
            &["decisions", "add", "email", absent, "me@example.com"][..],
            "the source has no row ebook_contacts:#",
        ),
        (&["decisions", "add", "email", contact, "zqx7 @@"], "not an e-mail address"),
        (&["decisions", "add", "product", contact, "p2p"], &not_a_payment),
        (
            &["decisions", "add", "email", "zqx7-6@example.com", "me@example.com"],
            "not a source row",
        ),
        (&["decisions", "add", "alias", "zqx7-4@example.com", "zqx7-4@example.com"], ""),
        (&["conflicts", "show", absent], "no such row"),
        (&["conflicts", "show", "ebook_contacts:#0123456789ab"], "no such row"),
        (&["conflicts", "show", "zqx7"], "neither"),
        (&["explain", absent], "no such row"),
    ] {
        let text = run_silently(world, arguments, 1).await;
        assert!(text.contains(told), "{arguments:?}: {text}");
    }
    for arguments in
        [&["conflicts", "list"][..], &["decisions", "list"], &["conflicts", "list", "--json"]]
    {
        assert_eq!(run(world, arguments).await.status.code(), Some(0));
    }
}

async fn erases(world: &World, daemon: &Daemon) {
    let insert = "insert into ebook_contacts values ('zqx7-gone@example.com', 'Zqx7 Gone', now())";
    world.source.execute(insert).await;
    daemon.wait_until_caught_up(world).await;
    assert_eq!(run(world, &["erase", "zqx7-gone@example.com"]).await.status.code(), Some(1));
    world.source.execute("delete from ebook_contacts where email = 'zqx7-gone@example.com'").await;
    daemon.wait_until_caught_up(world).await;
    assert_eq!(run(world, &["erase", "zqx7-gone@example.com"]).await.status.code(), Some(0));
    assert_eq!(run(world, &["erase", "zqx7 nobody"]).await.status.code(), Some(1));
}

/// Records that cannot be rows go to a file; the report names them by number, path and reason.
async fn imports(world: &World) {
    let shipped = |name: &str| format!("{}/config/import/{name}", env!("CARGO_MANIFEST_DIR"));
    world.target.execute(&std::fs::read_to_string(shipped("app.sql")).unwrap()).await;
    let refuse = "alter table users add constraint nobody check (name not like 'Zqx7 Ben%')";
    world.target.execute(refuse).await;
    let text = std::fs::read_to_string(shipped("app-sample.json")).unwrap();
    let text = text
        .replace("@example.com", "-zqx7@example.com")
        .replace("not an address", "zqx7 @@")
        .replace("\"name\": \"", "\"name\": \"Zqx7 ")
        .replace("usr_9", "zqx7_9")
        .replace("2024-01-05T08:00:00Z", "zqx7 o'clock");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (sample, half, rejects) = (file("sample.json"), file("half.json"), file("rejects.jsonl"));
    std::fs::write(&sample, &text).unwrap();
    std::fs::write(&half, &text[..text.len() / 2]).unwrap();
    let plan = shipped("app.toml");
    run_silently(world, &["import", "--audit", &sample], 0).await;
    for (arguments, code) in [
        (&["--dry-run"][..], 0),
        (&["--rejects", &rejects], 0),
        (&["--json", "--rejects", &rejects], 0),
        (&["--compare"], 3),
    ] {
        let all = [&["import", &plan, &sample], arguments].concat();
        run_silently(world, &all, code).await;
        world.target.execute("update users set name = 'Zqx7 planted'").await;
    }
    assert!(std::fs::read_to_string(&rejects).unwrap().to_lowercase().contains("zqx7"));
    run_silently(world, &["import", &plan, &half, "--rejects", &rejects], 1).await;
}
