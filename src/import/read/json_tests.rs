use super::*;

/// A reader that gives a byte at a time: every state is gone through.
struct Slow(io::Cursor<Vec<u8>>);

impl Read for Slow {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let room = to.len().min(1);
        self.0.read(&mut to[..room])
    }
}

fn reader(json: &str, from: u64, slowly: bool) -> Box<dyn Read + Send> {
    let mut input = io::Cursor::new(json.to_owned().into_bytes());
    input.set_position(from);
    if slowly { Box::new(Slow(input)) } else { Box::new(input) }
}

/// Arrays and records; each sequence is read from its start on as well.
fn walk(json: &str, members: &[&[&str]]) -> Result<Vec<String>, String> {
    let paths = |paths: &[&[&str]]| -> Vec<Vec<String>> {
        paths.iter().map(|path| path.iter().map(|&s| s.to_owned()).collect()).collect()
    };
    let whole = steps(Walker::new(reader(json, 0, false), paths(members)), Some(json))?;
    let slow = steps(Walker::new(reader(json, 0, true), paths(members)), None)?;
    assert_eq!(whole, slow);
    Ok(whole)
}

fn steps(mut walker: Walker, mut json: Option<&str>) -> Result<Vec<String>, String> {
    let mut found: Vec<String> = Vec::new();
    let mut again: Vec<String> = Vec::new();
    loop {
        match walker.next().map_err(|error| error.to_string())? {
            Step::Array => {
                assert!(again.is_empty(), "{again:?} was not read again");
                found.push(format!("/{}", walker.path().join("/")));
                if let Some(text) = json {
                    let start = walker.start();
                    let part = Walker::at(reader(text, start.offset, false), start);
                    match steps(part, None) {
                        Ok(found) => again = found.into_iter().rev().collect(),
                        // A document that ends in its middle.
                        Err(_) => json = None,
                    }
                }
                continue;
            }
            Step::Record(Text::Whole(text)) => found.push(text),
            Step::Record(Text::Broken { reason, .. }) => found.push(reason.to_owned()),
            Step::End => return Ok(found),
        }
        assert!(json.is_none() || again.pop().as_ref() == found.last(), "{found:?}");
    }
}

#[test]
fn every_array_is_found_also_within_texts() {
    let json = r#" {"version":1,"a":[{"x":"]\"}"},2],"deep":{"b":[],"c":"[{\"y\":\"\\\"\\u00e9\\ud83d\\ude00\"}]"},
        "plain":"a [ text","n":null} "#;
    let found = walk(json, &[]).unwrap();
    let all =
        ["/a", r#"{"x":"]\"}"}"#, "2", "/deep/b", "/deep/c", r#"{"y":"\"\u00e9\ud83d\ude00"}"#];
    assert_eq!(found, all);
    assert_eq!(walk("[1, {\"a\":[2]}]", &[]).unwrap(), ["/", "1", "{\"a\":[2]}"]);
    // A name that stands there twice is two sequences, each read once.
    assert_eq!(walk("{\"a\":[1],\"a\":[2]}", &[]).unwrap(), ["/a", "1", "/a", "2"]);
}

#[test]
fn members_of_an_object_are_records_with_their_names() {
    let json =
        r#"{"users":{"-N1":{"name":"Ana","tags":["x"]},"-N\"2":{},"-N3":7},"rest":{"a":{"b":1}}}"#;
    let found = walk(json, &[&["users"]]).unwrap();
    let records = [
        r#"{"name":"Ana","tags":["x"],"@key":"-N1"}"#,
        r#"{"@key":"-N\"2"}"#,
        r#"{"@key":"-N3","@":7}"#,
    ];
    assert_eq!(found, [&["/users"], &records[..]].concat());
    let text = serde_json::json!({ "users": r#"{"a":{"x":"}"}}"# }).to_string();
    assert_eq!(walk(&text, &[&["users"]]).unwrap(), ["/users", r#"{"x":"}","@key":"a"}"#]);
}

#[test]
fn objects_of_objects_that_are_alike_are_noted() {
    let json = r#"{"users":{"-N1":{"name":1,"of":{"a":{"x":1},"b":{"x":2}}},"-N2":{"name":2,"age":3}},
        "settings":{"theme":{"dark":true},"mail":{"daily":false}},"one":{"a":{"x":1}}}"#;
    let mut walker = Walker::new(reader(json, 0, false), Vec::new());
    while walker.next().unwrap() != Step::End {}
    assert_eq!(walker.objects(), [["users"]]);
}

#[test]
fn a_broken_record_stands_alone_and_a_broken_document_does_not() {
    let found = walk(r#"{"a":[{"x":tru},{"x" 1},{"y":2}]}"#, &[]).unwrap();
    assert_eq!(found, ["/a", r#"{"x":tru}"#, r#"{"x" 1}"#, r#"{"y":2}"#]);
    for json in [r#"{"a":[{"x":1}"#, r#"{"a":[{"x":1]}"#, "{} {}", "", r#"{"a" []}"#, r#"{"a":[1,"#]
    {
        let error = walk(json, &[]).unwrap_err();
        assert!(error.contains("no JSON at byte"), "{json}: {error}");
    }
}
