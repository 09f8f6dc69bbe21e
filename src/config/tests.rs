//! Configuration as data: a piece of a file and what comes of it (SPEC §9).

use std::collections::BTreeMap;

use super::*;
use crate::error::Error;
use crate::rules::{DateOrder, Status};

const CANONICAL: &str = include_str!("../../config/tributary.toml");
const LEGACY: &str = include_str!("../../config/legacy-csv.toml");
pub(crate) const URLS: &str =
    "[source]\nurl = \"host=/run/s user=u\"\n[target]\nurl = \"host=/run/t user=u\"\n";

pub(crate) fn parse(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let env: BTreeMap<&str, &str> = env.iter().copied().collect();
    let lookup = |name: &str| env.get(name).map(|value| (*value).to_owned());
    Config::parse(text, &lookup).map_err(|error| match error {
        Error::Config(text) => text,
        other => panic!("{other:?}"),
    })
}

pub(super) const BOTH: [(&str, &str); 2] = [
    ("SOURCE_URL", "postgresql://reader:s3cret@db.example.com/raw"),
    ("TARGET_URL", "postgresql://writer:s3cret@127.0.0.1:5433/clean?application_name=x"),
];

#[test]
fn everything_but_the_urls_has_the_default_that_the_shipped_file_shows() {
    let shipped = parse(CANONICAL, &BOTH).unwrap();
    let bare = parse(URLS, &[]).unwrap();
    assert_eq!(shipped.rules_hash(), bare.rules_hash());
    assert_eq!(format!("{:?}", shipped.source.feeds), format!("{:?}", bare.source.feeds));
    let fields = |config: &Config, name| feed(config, name).fields.named().len();
    assert_eq!((fields(&shipped, "xendit"), fields(&shipped, "systemeio")), (27, 21));
    assert_eq!(format!("{:?}", shipped.run), format!("{:?}", bare.run));
    assert_eq!(format!("{:?}", shipped.guard), format!("{:?}", bare.guard));
    assert_eq!((&shipped.backup, &shipped.validate), (&bare.backup, &bare.validate));
    assert_eq!(shipped.rules.status_words, crate::rules::Rules::default().status_words);
    assert_eq!(shipped.rules.products, crate::rules::Rules::default().products);
    assert_eq!(shipped.http_listen.to_string(), "127.0.0.1:9464");
    assert_eq!(shipped.source.slot, "tributary");
}

#[test]
fn the_legacy_layout_maps_the_columns_of_spec_1() {
    let config = parse(LEGACY, &BOTH).unwrap();
    let xendit = feed(&config, "xendit");
    assert_eq!(xendit.key, ["External ID"]);
    let columns = |wanted: &str| {
        let named = xendit.fields.named();
        let found = named.iter().find(|(field, _)| *field == wanted);
        found.map(|(_, sources)| sources.iter().filter_map(|s| s.column()).collect::<Vec<_>>())
    };
    assert_eq!(columns("customer_email"), Some(vec!["Customer Email", "Email"]));
    assert_eq!(columns("payment_id"), Some(vec!["Invoice ID"]));
    assert_eq!(columns("paid_amount"), None);
    assert_eq!(feed(&config, "systemeio").key, ["Email", "Date Registered"]);
}

/// A feed of a configuration.
pub(super) fn feed<'c>(config: &'c Config, name: &str) -> &'c FeedConfig {
    config.source.feeds.iter().find(|feed| feed.name == name).unwrap()
}

#[test]
fn a_problem_names_its_key_and_what_was_meant() {
    let check = |text: &str, expected: &str| {
        let text = format!("{text}\n{URLS}");
        let message = parse(&text, &[]).unwrap_err();
        assert!(message.contains(expected), "{text}\ngave: {message}\nnot: {expected}");
    };
    check("[runn]\n", "runn: unknown key; did you mean \"run\"?");
    check("[run]\nbatch_row = 1", "run.batch_row: unknown key; did you mean \"batch_rows\"?");
    check(
        "[run]\nbatch_rows = 0",
        "run.batch_rows: must be a whole number from 1 to 100000, not 0",
    );
    check(
        "[run]\nbatch_delay_ms = 50",
        "run.batch_delay_ms: is no longer a setting, as no change waits for others: remove the line",
    );
    check("[run]\nmigrate = \"yes\"", "run.migrate: must be true or false, not a text");
    check("run = 1", "run: must be a table: [run], not 1");
    check("[guard]\ndelete_percent = 101", "guard.delete_percent: must be a number from 0 to 100");
    check("[backup]\nkeep = 0", "backup.keep: must be a whole number from 1 to 1000");
    check("[validate]\npeople = [2, 1]", "validate.people: must be two whole numbers");
    check("[validate.paid]\np3p = [1, 2]", "validate.paid: no product has the code p3p");
    check("[verify]\nevery = 24", "verify.every: must be a span of time such as \"24h\"");
    check("[retention]\ndays = 0", "retention.days: must be a whole number from 1 to 36500, not 0");
    check("[http]\nlisten = \":1\"", "http.listen: must be an address and a port");
    check(
        "[feeds.xendit]\ntabel = \"x\"",
        "feeds.xendit.tabel: unknown key; did you mean \"table\"?",
    );
    check("[feeds.xendit.columns]\nemail = \"Email\"", "feeds.xendit.columns.email: unknown field");
    check("[feeds.xendit.columns]\nstatsu = \"x\"", "did you mean \"status\"?");
    check("[feeds.xendit.columns]\nstatus = []", "feeds.xendit.columns.status: names no column");
    check("[feeds.xendit]\nkey = []", "feeds.xendit.key: must name a column");
    check(
        "[feeds.systemeio]\n[feeds.xendit]\ntable = \"systemeio\"",
        "feeds.xendit.table: is the table of systemeio too: public.systemeio",
    );
    check(
        "[rules]\ntime_zone = \"Asia/Manilla\"",
        "rules.time_zone: \"Asia/Manilla\" is no time zone",
    );
    check("[rules]\ntime_zone = \"Asia/Manilla\"", "did you mean \"Asia/Manila\"?");
    check("[rules]\ncurrency = \"peso\"", "rules.currency: \"PESO\" is no currency code");
    check("[rules]\ndate_order = \"dmy\"", "rules.date_order: must be \"month_first\"");
    check("[rules]\nfiscal_year_start_month = 13", "a whole number from 1 to 12, not 13");
    check("[rules]\nknown_tags = [\"A\", \"a\"]", "rules.known_tags: names \"a\" twice");
    check("[rules.status_words]\nPAYED = []", "rules.status_words.PAYED: unknown status; did you");
    check(
        "[rules.status_words]\nPAID = [\"x\"]\nFAILED = [\"X\"]",
        "\"x\" is a word of FAILED too",
    );
    check(
        "[rules.transactions]\nproducts = [\"p2\"]",
        "is the code of no product; did you mean \"p2p\"",
    );
    check(
        "[rules.transactions]\nstatuses = [\"PAYED\"]",
        "\"PAYED\" is no status; did you mean \"PAID\"",
    );
    check("[rules.profiles]\ntag = []", "rules.profiles.tag: unknown key; did you mean \"tags\"?");
}

#[test]
fn products_must_be_told_apart() {
    let check = |products: &str, expected: Result<usize, &str>| {
        let found = parse(&format!("{URLS}\n[rules]\nproducts = {products}"), &[]);
        match (found, expected) {
            (Ok(config), Ok(count)) => assert_eq!(config.rules.products.len(), count, "{products}"),
            (Err(message), Err(part)) => assert!(message.contains(part), "{products}: {message}"),
            (found, _) => panic!("{products}: {:?}", found.err()),
        }
    };
    check("[]", Ok(0));
    check("[{code='a'}, {code='b', name='Bee', course=true, access_days='lifetime'}]", Ok(2));
    check("[{name='a'}]", Err("rules.products[0].code: is missing"));
    check("[{code='A'}]", Err("rules.products[0].code: \"A\" may hold a-z"));
    check(
        "[{code='a'}, {code='a', name='b'}]",
        Err("rules.products[1]: the code \"a\" is that of"),
    );
    check("[{code='a', id='1'}]", Err("rules.products[0].id: \"1\" is no UUID"));
    check("[{code='a', phrases=['!']}]", Err("rules.products[0].phrases: \"!\" has no word"));
    check("[{code='a', access_days=0}]", Err("must be a whole number from 1 to 36525, not 0"));
    check("[{code='a', access_days='for ever'}]", Err("a number of days or \"lifetime\""));
    check("[{code='a', phrase=['x']}]", Err("unknown key; did you mean \"phrases\"?"));
    check("[{code='a', phrases=['Kit']}, {code='b', phrases=['the KIT!']}]", Err("overlaps"));
    check("[{code='a', phrases=['the kit']}, {code='b', phrases=['kit']}]", Err("overlaps"));
    check("[{code='a', phrases=['kit']}, {code='b', phrases=['kits']}]", Ok(2));
    check("[{code='a', phrases=['kit', 'the kit']}]", Ok(1));
}

#[test]
fn rules_are_read_as_they_are_written() {
    let text = "[rules]\ncurrency = \"usd\"\ndate_order = \"day_first\"\n\
        [rules.status_words]\npaid = [\"Active\", \"paid in-full\"]\n\
        [rules.transactions]\nstatuses = [\"paid\"]";
    let rules = parse(&format!("{text}\n{URLS}"), &[]).unwrap().rules;
    assert_eq!((rules.currency.as_str(), rules.date_order), ("USD", DateOrder::DayFirst));
    let status = |word: &str| rules.status_words.get(word).copied();
    assert_eq!(status("active"), Some(Status::Paid));
    assert_eq!(status("paid_in_full"), Some(Status::Paid));
    assert_eq!(status("success"), None);
    assert_eq!(status("pending"), Some(Status::Pending));
    assert_eq!(rules.transactions.statuses, Some(vec![Status::Paid]));
    assert_eq!(rules.transactions.products, None);
}

#[test]
fn variables_come_from_the_environment() {
    let check = |slot: &str, env: &[(&str, &str)], expected: Result<&str, &str>| {
        let text = URLS.replacen("[source]", &format!("[source]\npublication = '{slot}'"), 1);
        let found = parse(&text, env).map(|config| config.source.publication);
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, _) => panic!("{slot}: {found:?}"),
        }
    };
    check("a${X}b${X}", &[("X", "1")], Ok("a1b1"));
    check("$${X} $X", &[], Ok("${X} $X"));
    check("${X}", &[], Err("source.publication: the environment variable X is not set"));
    check("${X", &[], Err("source.publication: a \"${\" has no \"}\""));
    check("${a b}", &[("a b", "1")], Err("must hold the name of an environment variable"));
    check("${X}", &[("X", "${Y}")], Ok("${Y}"));
}

#[test]
fn overrides_replace_the_file() {
    let env = [
        ("TRIBUTARY_SOURCE_URL", "host=/run/a user=a"),
        ("TRIBUTARY_TARGET_URL", "host=/run/b user=b"),
        ("TRIBUTARY_HTTP_LISTEN", "localhost:1"),
    ];
    // The variables of the file are not set, and need not be.
    let config = parse(CANONICAL, &env).unwrap();
    assert_eq!(config.source.server.postgres.get_user(), Some("a"));
    assert_eq!(config.target.server.postgres.get_user(), Some("b"));
    assert_eq!(config.http_listen.to_string(), "127.0.0.1:1");
    assert!(parse("", &env).is_ok());

    let message = parse(CANONICAL, &env[..1]).unwrap_err();
    assert_eq!(
        message,
        "the configuration:\n  target.url: the environment variable TARGET_URL is not set"
    );
    let message = parse("", &[("TRIBUTARY_SOURCE_URL", "")]).unwrap_err();
    assert!(message.contains("source.url: is missing; write it, or set TRIBUTARY_SOURCE_URL"));
}

#[test]
fn all_problems_are_told_together() {
    let text = "[source]\nslot = \"A\"\n[target]\nurl = \"${T}\"\n[run]\nchunk_rows = -1";
    let message = parse(text, &[]).unwrap_err();
    for expected in ["source.url:", "source.slot:", "target.url:", "run.chunk_rows:"] {
        assert!(message.contains(expected), "{expected} not in {message}");
    }
    assert_eq!(message.lines().count(), 5, "{message}");
}

#[test]
fn a_named_file_must_exist() {
    let none = |_: &str| None;
    let error = Config::load(Some("/nonexistent/c.toml".as_ref()), &none).unwrap_err();
    assert_eq!(error.exit_code(), 78);
    let named = |name: &str| (name == "TRIBUTARY_CONFIG").then(|| "/nonexistent/d.toml".to_owned());
    let message = Config::load(None, &named).unwrap_err().to_string();
    assert!(message.starts_with("/nonexistent/d.toml cannot be read"), "{message}");
    assert!(message.contains("`tributary config new`"), "{message}");
}

#[test]
fn no_message_quotes_a_secret() {
    let check = |text: &str| {
        let message = parse(text, &[]).unwrap_err();
        assert!(!message.contains("s3cret"), "{message}");
    };
    check("[source]\nurl = \"postgresql://u:s3cret@h/d\" oops");
    check("[source]\nurl = \"postgresql://u:p?s3cret=1@h/d\"");
    check("[source]\nurl = [\"s3cret\"]");
    check("[source]\nurl = \"host=h user=u port=s3cret\"");
    check("[source]\nurl = \"host=h user=u sslmode=s3cret\"");
}

#[test]
fn hashes_follow_what_they_depend_on() {
    let base = parse(URLS, &[]).unwrap();
    let check = |text: &str, facts: bool, people: bool| {
        let other = parse(&format!("{text}\n{URLS}"), &[]).unwrap();
        assert_eq!(other.facts_hash() != base.facts_hash(), facts, "facts of {text}");
        assert_eq!(other.people_hash() != base.people_hash(), people, "people of {text}");
        assert_eq!(other.rules_hash() != base.rules_hash(), facts || people, "{text}");
    };
    check("", false, false);
    check("[run]\nbatch_rows = 7\n[guard]\ndelete_rows = 1", false, false);
    check("[feeds.xendit]\nkey = [\"external_id\"]", true, false);
    check("[feeds.xendit.columns]\nstatus = \"status\"", true, false);
    check("[rules]\ntime_zone = \"UTC\"", true, true);
    check("[rules]\nknown_tags = []", true, true);
    check("[rules]\nfiscal_year_start_month = 4", false, true);
    check("[rules.profiles]\ntags = [\"x\"]", false, true);
    check("[rules.transactions]\nstatuses = []", false, true);
    check("[rules.status_words]\nPAID = [\"paid\"]", true, true);
}

#[test]
fn what_is_shown_reads_back_as_the_same() {
    for text in [CANONICAL, LEGACY] {
        let config = parse(text, &BOTH).unwrap();
        let again = parse(&config.to_toml(), &[]).unwrap();
        assert_eq!(again.rules_hash(), config.rules_hash());
        assert_eq!(format!("{:?}", again.run), format!("{:?}", config.run));
        let body = |config: &Config| {
            let text = config.to_toml();
            text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(body(&again), body(&config));
    }
}

#[test]
fn what_is_shown_holds_no_secret_and_tells_origins() {
    let env = [
        ("SOURCE_URL", "postgresql://reader:s3cret@db.example.com/raw"),
        ("TRIBUTARY_TARGET_URL", "host=127.0.0.1 user=writer"),
        ("PGPASSWORD", "s3cret too"),
        ("TRIBUTARY_HTTP_LISTEN", "127.0.0.1:80"),
    ];
    let shown = parse(CANONICAL, &env).unwrap().to_toml();
    assert!(!shown.contains("s3cret"));
    let lines = |from: &str, until: &str| {
        let start = shown.find(from).unwrap();
        let end = shown[start..].find(until).unwrap();
        shown[start..start + end].trim_end().to_owned()
    };
    insta::assert_snapshot!(lines("# the", "slot"), @r#"
    # the built-in configuration

    [source]
    # password from the connection string
    # sslmode require by default
    url = "host=db.example.com port=5432 user=reader password=*** dbname=raw sslmode=require"
    "#);
    insta::assert_snapshot!(lines("[target]", "[rules]"), @r#"
    [target]
    # replaced by TRIBUTARY_TARGET_URL
    # password from PGPASSWORD
    # sslmode disable by default
    url = "host=127.0.0.1 port=5432 user=writer password=*** dbname=writer sslmode=disable"
    schema = "tributary"
    profiles = "public.unified_profiles"
    transactions = "public.transactions"
    enrollments = "public.enrollments"
    courses = "public.courses"
    auth_users = "link"

    [run]
    migrate = true
    batch_rows = 4000
    chunk_rows = 1500
    max_row_bytes = 67108864

    [guard]
    delete_rows = 1000
    delete_percent = 10.0

    [backup]
    enabled = true
    keep = 3
    max_mib = 10240

    [validate]

    [verify]

    [retention]
    days = 400

    [http]
    # replaced by TRIBUTARY_HTTP_LISTEN
    listen = "127.0.0.1:80"
    "#);
    insta::assert_snapshot!(lines("[[rules.products]]", "[rules.status"), @r#"
    [[rules.products]]
    code = "p2p"
    name = "Papers to Profits"
    id = "abe44885-5784-5b8e-ba61-02aa1026ec13"
    type = "course"
    phrases = ["papers to profits", "papers to profit", "p2p"]
    course = true
    access_days = 365
    tag = "PaidP2P"

    [[rules.products]]
    code = "canva"
    name = "Canva Ebook"
    id = "59d72727-e763-566d-9ce2-b8de201de3b3"
    type = "ebook"
    phrases = ["canva ebook", "canva e book", "canva"]
    course = false
    access_days = "lifetime"
    tag = "PaidCanva"
    "#);
}
