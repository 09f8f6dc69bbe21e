//! All files read once before anything is written: they are whole, and everything in them is in the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use super::plan::{Format, Input, Plan};
use super::read::{
    Form, Lines, Place, Records, Step, Text, Walker, format_of, open, rejects_header, stem,
    unreadable,
};
use super::record::Fields;
use crate::error::{Error, Result};
use crate::rules::NAMESPACE;

/// Bytes hashed at once.
const BLOCK: usize = 1 << 20;

/// Most arrays that the plan does not know: records that hold lists of their own have no end of them.
const MOST_OTHERS: usize = 1000;

/// Most names of fields that are kept of one input: records keyed by their ids have no end of them.
const MOST_FIELDS: usize = 2000;

/// What the files hold of an input.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// Where its records are.
    pub(super) places: Vec<Place>,
    /// Their number.
    pub(super) records: u64,
    /// In how many of them each field is.
    pub(super) fields: BTreeMap<String, u64>,
}

/// What the files hold.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// By the name of the input.
    pub(super) inputs: BTreeMap<String, Found>,
    /// Arrays that no input is, with their records.
    pub(super) others: BTreeMap<String, u64>,
    /// Objects whose members look like records, and that no input is.
    pub(super) objects: BTreeSet<String>,
    /// The files, each with its size and time when it was read.
    files: Vec<(PathBuf, u64, Option<SystemTime>)>,
    /// Whether a file of rejected records is among the files: it need not hold every input.
    pub(super) has_rejects: bool,
    /// Changes with any byte of the files and of the plan.
    pub(super) fingerprint: Uuid,
    /// Bytes of the files.
    pub(super) bytes: u64,
}

impl Survey {
    /// Reads the files.
    ///
    /// # Errors
    /// A file that cannot be read to its end, or is of no known form.
    pub(super) fn of(plan: &Plan, files: &[PathBuf]) -> Result<Self> {
        let mut survey = Self { fingerprint: NAMESPACE, ..Self::default() };
        survey.hash_with(plan.text.as_bytes());
        for file in files {
            survey.hash(file).map_err(|error| unreadable(file, &error))?;
            survey.file(plan, file)?;
        }
        Ok(survey)
    }

    /// No file was changed since.
    ///
    /// # Errors
    /// The file that was.
    pub(super) fn require_unchanged(&self) -> Result<()> {
        let is_changed = |(file, size, time): &&(PathBuf, u64, Option<SystemTime>)| {
            std::fs::metadata(file)
                .map_or(true, |now| now.len() != *size || now.modified().ok() != *time)
        };
        match self.files.iter().find(is_changed) {
            None => Ok(()),
            Some((file, ..)) => Err(Error::refused(
                format!("{}: the file was changed while it was imported", file.display()),
                "run the import again, with a file that nothing writes to; it goes on from there",
            )),
        }
    }

    fn hash_with(&mut self, bytes: &[u8]) {
        self.fingerprint = crate::digest::uuid_v5(&self.fingerprint, bytes);
    }

    fn hash(&mut self, file: &Path) -> io::Result<()> {
        let there = std::fs::metadata(file)?;
        if !there.is_file() {
            // It says why.
            open(file)?;
        }
        self.files.push((file.to_owned(), there.len(), there.modified().ok()));
        let mut input = std::fs::File::open(file)?;
        let mut block = Vec::with_capacity(BLOCK);
        loop {
            block.clear();
            let read = input.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
            self.hash_with(&block);
            self.bytes += read as u64;
            if read < BLOCK {
                return Ok(());
            }
        }
    }

    fn file(&mut self, plan: &Plan, file: &Path) -> Result<()> {
        let mut inputs: Vec<&Input> =
            plan.inputs.values().filter(|input| is_file_of(input, file)).collect();
        let format = inputs.iter().find_map(|input| input.format).or_else(|| format_of(file));
        match format {
            Some(Format::Json) => self.document(plan, file),
            Some(format) => {
                if format == Format::JsonLines && self.rejects(plan, file)? {
                    return Ok(());
                }
                inputs.retain(|input| input.file.is_some() || input.name == stem(file));
                let form = if format == Format::Csv { Form::Csv } else { Form::Lines };
                match inputs.as_slice() {
                    [] => {
                        self.others.insert(stem(file), 0);
                        Ok(())
                    }
                    inputs => inputs.iter().try_for_each(|input| self.sequence(input, file, &form)),
                }
            }
            None => Err(Error::refused(
                format!("{}: the form of this file is unknown by its name", file.display()),
                "name it .json, .jsonl, .csv or one of these with .gz, or set file and format of its input",
            )),
        }
    }

    /// Whether it is a file of rejected records of this import, which then holds records of any input.
    fn rejects(&mut self, plan: &Plan, file: &Path) -> Result<bool> {
        let mut lines = Lines::new(open(file).map_err(|error| unreadable(file, &error))?);
        let first = lines.next().map_err(|error| unreadable(file, &error))?;
        let Some(Text::Whole(line)) = first else { return Ok(false) };
        let Some(import) = rejects_header(&line) else { return Ok(false) };
        if import != plan.import {
            return Err(Error::refused(
                format!("{}: holds rejected records of the import {import}", file.display()),
                "name the plan of that import",
            ));
        }
        self.has_rejects = true;
        let place = Place { file: file.to_owned(), form: Form::Rejects };
        for load in &plan.loads {
            let found = self.inputs.entry(load.from.clone()).or_default();
            if !found.places.contains(&place) {
                found.places.push(place.clone());
            }
        }
        Ok(true)
    }

    fn sequence(&mut self, input: &Input, file: &Path, form: &Form) -> Result<()> {
        let place = Place { file: file.to_owned(), form: form.clone() };
        let found = self.inputs.entry(input.name.clone()).or_default();
        found.places.push(place.clone());
        let mut records = Records::new(vec![place], input.dialect.clone(), "");
        while let Some(record) = records.next()? {
            found.note(&record.text);
        }
        Ok(())
    }

    fn document(&mut self, plan: &Plan, file: &Path) -> Result<()> {
        let read = |error: io::Error| unreadable(file, &error);
        let mut walker = Walker::new(open(file).map_err(read)?, objects_of(plan, file));
        let mut names: Vec<String> = Vec::new();
        let mut other = None;
        loop {
            match walker.next().map_err(read)? {
                Step::End => break,
                Step::Array => {
                    let path = walker.path();
                    names = inputs_at(plan, file, path);
                    other = names.is_empty().then(|| shown(path, file));
                    let form = Form::Array(walker.start());
                    let place = Place { file: file.to_owned(), form };
                    for name in &names {
                        self.inputs.entry(name.clone()).or_default().places.push(place.clone());
                    }
                    if let Some(other) = &other {
                        self.others.entry(other.clone()).or_default();
                    }
                    if self.others.len() > MOST_OTHERS {
                        return Err(too_many(file));
                    }
                }
                Step::Record(text) => {
                    for name in &names {
                        if let Some(found) = self.inputs.get_mut(name) {
                            found.note(&text);
                        }
                    }
                    if let Some(count) = other.as_ref().and_then(|name| self.others.get_mut(name)) {
                        *count += 1;
                    }
                }
            }
        }
        self.objects.extend(walker.objects().iter().map(|path| shown(path, file)));
        Ok(())
    }
}

/// Objects of a file whose members are records: as an input, or left out as a whole.
fn objects_of(plan: &Plan, file: &Path) -> Vec<Vec<String>> {
    let inputs = plan.inputs.values().filter(|input| input.members && is_file_of(input, file));
    let left_out = plan.left_out.keys().map(|name| name.split('.').map(str::to_owned).collect());
    inputs.map(|input| input.path.clone()).chain(left_out).collect()
}

fn too_many(file: &Path) -> Error {
    Error::refused(
        format!("{}: more than {MOST_OTHERS} arrays are in none of the inputs", file.display()),
        "records that are the members of an object are an input with members = true; leave the object out by its \
         path in [left_out] where it is not loaded",
    )
}

impl Found {
    fn note(&mut self, text: &Text) {
        self.records += 1;
        let Text::Whole(text) = text else { return };
        let Some(fields) = Fields::read(text) else { return };
        let mut seen = BTreeSet::new();
        for name in fields.names().filter(|name| seen.insert(*name)) {
            if let Some(count) = self.fields.get_mut(name) {
                *count += 1;
            } else if self.fields.len() < MOST_FIELDS {
                self.fields.insert(name.to_owned(), 1);
            }
        }
    }
}

/// The path of an array as the plan may write it.
fn shown(path: &[String], file: &Path) -> String {
    if path.is_empty() { stem(file) } else { path.join(".") }
}

/// The inputs that an array of a file is.
fn inputs_at(plan: &Plan, file: &Path, path: &[String]) -> Vec<String> {
    let is_here = |input: &&Input| {
        let at_path = if path.is_empty() {
            input.path.is_empty() || input.file.is_some() || input.name == stem(file)
        } else {
            input.path == path
        };
        at_path && is_file_of(input, file)
    };
    plan.inputs.values().filter(is_here).map(|input| input.name.clone()).collect()
}

/// Whether an input may be in a file, by the file's name.
fn is_file_of(input: &Input, file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    input.file.as_ref().is_none_or(|pattern| matches(pattern, &name))
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, rest)) => name.strip_prefix(before).is_some_and(|name| {
            let starts = (0..=name.len()).filter(|at| name.is_char_boundary(*at));
            starts.into_iter().any(|at| matches(rest, &name[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_names() {
        for (pattern, name, expected) in [
            ("students.csv", "students.csv", true),
            ("students*.csv", "students-2025.csv", true),
            ("*", "x", true),
            ("*.csv", "x.json", false),
            ("a*b*c", "a-b-b-c", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
