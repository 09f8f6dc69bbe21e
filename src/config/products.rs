//! `[[rules.products]]` (SPEC §3.11).

use toml::Value;
use uuid::Uuid;

use super::section::{Problems, Section, expect, nearest, number};
use crate::facts::match_products;
use crate::rules::{Product, Rules, default_product_id};

/// The longest access period: a hundred years, in days. More is a slip, or `"lifetime"`.
const LONGEST_ACCESS: u32 = 36_525;

/// The products of the list, which replaces the default ones as a whole.
pub(super) fn products(section: &mut Section<'_>, problems: &mut Problems) -> Option<Vec<Product>> {
    let path = section.path_of("products");
    let value = section.value("products")?;
    let list = expect(value.as_array(), value, &path, "a list: [[rules.products]]", problems)?;
    let mut found: Vec<(String, Product)> = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let table = expect(value.as_table(), value, &path, "a table", problems);
        let Some(table) = table else { continue };
        if let Some(product) = product(Section::element(path.clone(), table), problems) {
            check_against(&found, &path, &product, problems);
            found.push((path, product));
        }
    }
    Some(found.into_iter().map(|(_, product)| product).collect())
}

fn product(mut section: Section<'_>, problems: &mut Problems) -> Option<Product> {
    let code = code(&mut section, problems);
    let name = section.text("name", problems).map(|name| name.trim().to_owned());
    let id = id(&mut section, problems);
    let kind = section.text("type", problems).map(str::to_owned);
    let phrases = section.texts("phrases", problems);
    let course = section.flag("course", problems);
    let access_days = access_days(&mut section, problems);
    let tag = section.text("tag", problems).map(str::to_owned);
    let path = section.path_of("phrases");
    section.finish(problems);

    let code = code?;
    let name = name.unwrap_or_else(|| code.clone());
    let course = course.unwrap_or(kind.as_deref() == Some("course"));
    let kind = kind.unwrap_or_else(|| if course { "course" } else { "product" }.into());
    let phrases = phrases.unwrap_or_else(|| vec![name.clone()]);
    let id = id.unwrap_or_else(|| default_product_id(&code));
    let product = Product { code, name, id, kind, phrases, course, access_days, tag };
    for phrase in &product.phrases {
        if !names(phrase, vec![with_phrase(&product, phrase)]) {
            problems.add(&path, format!("{phrase:?} has no word that a description could hold"));
        }
    }
    Some(product)
}

fn code(section: &mut Section<'_>, problems: &mut Problems) -> Option<String> {
    let path = section.path_of("code");
    let Some(value) = section.value("code") else {
        problems.add(&path, "is missing: every product has a short stable name");
        return None;
    };
    let code = super::section::text(value, &path, problems)?;
    let is_slug =
        code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    if !is_slug {
        problems.add(&path, format!("{code:?} may hold a-z, 0-9, - and _ only"));
    }
    is_slug.then(|| code.to_owned())
}

fn id(section: &mut Section<'_>, problems: &mut Problems) -> Option<Uuid> {
    let path = section.path_of("id");
    let text = section.text("id", problems)?;
    let id = Uuid::parse_str(text).ok();
    if id.is_none() {
        problems.add(&path, format!("{text:?} is no UUID"));
    }
    id
}

/// Days, or `"lifetime"`, which is what a product without this key has too.
fn access_days(section: &mut Section<'_>, problems: &mut Problems) -> Option<u32> {
    let path = section.path_of("access_days");
    let value = section.value("access_days")?;
    match value {
        Value::String(text) if text == "lifetime" => None,
        Value::String(text) => {
            let hint = nearest(text, ["lifetime"].into_iter());
            problems.add(&path, format!("must be a number of days or \"lifetime\"{hint}"));
            None
        }
        _ => number(value, &path, 1..=LONGEST_ACCESS, problems),
    }
}

/// What two products may not share. A phrase within a phrase of another product would make each payment
/// that has the longer one a payment for both.
fn check_against(
    earlier: &[(String, Product)],
    path: &str,
    product: &Product,
    problems: &mut Problems,
) {
    for (other_path, other) in earlier {
        if other.code == product.code {
            problems.add(path, format!("the code {:?} is that of {other_path} too", other.code));
        }
        if other.id == product.id {
            problems.add(path, format!("the id {} is that of {other_path} too", other.id));
        }
        for (a, b) in pairs(&product.phrases, &other.phrases) {
            if names(a, vec![with_phrase(other, b)]) || names(b, vec![with_phrase(product, a)]) {
                let both = "a payment that names one would be for both products";
                problems
                    .add(path, format!("the phrase {a:?} overlaps {b:?} of {other_path}: {both}"));
            }
        }
    }
}

fn pairs<'p>(
    left: &'p [String],
    right: &'p [String],
) -> impl Iterator<Item = (&'p String, &'p String)> {
    left.iter().flat_map(move |a| right.iter().map(move |b| (a, b)))
}

fn with_phrase(product: &Product, phrase: &str) -> Product {
    Product { phrases: vec![phrase.to_owned()], ..product.clone() }
}

/// Whether a description is a payment for one of the products, by the rule of the rows itself.
fn names(description: &str, products: Vec<Product>) -> bool {
    !match_products(description, &Rules { products, ..Rules::default() }).is_empty()
}
