// SPDX-License-Identifier: MIT
//! Findings for people, and for programs.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::rules::{Finding, RULES, Severity};

fn style(severity: Severity) -> Style {
    let color = match severity {
        Severity::Error => AnsiColor::Red,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Note => AnsiColor::Cyan,
    };
    Style::new().bold().fg_color(Some(color.into()))
}

/// Of a message, or of an advice, so many characters are shown.
const MOST: usize = 400;

/// For people: the same line of several services is told of once.
pub fn text(out: &mut impl Write, findings: &[Finding], services: usize) -> io::Result<()> {
    let mut told: Vec<(&Finding, Vec<&str>)> = Vec::new();
    for finding in findings {
        let same = |other: &Finding| {
            (&other.file, other.line, &other.rule, &other.message)
                == (&finding.file, finding.line, &finding.rule, &finding.message)
        };
        match told.iter_mut().find(|(other, _)| same(other)) {
            Some((_, services)) => services.push(&finding.service),
            None => told.push((finding, vec![&finding.service])),
        }
    }
    for (finding, services) in &told {
        let style = style(finding.severity);
        let line = if finding.line == 0 { String::new() } else { format!(":{}", finding.line) };
        writeln!(
            out,
            "{}{line}: {style}{}{style:#}: {} [{}]",
            finding.file.display(),
            finding.severity,
            visible(&finding.message, MOST),
            finding.rule
        )?;
        let of_file = finding.file.file_name().is_some_and(|name| services.iter().all(|service| name == *service));
        if !of_file {
            writeln!(out, "    in: {}", services.join(", "))?;
        }
        writeln!(out, "    do: {}", visible(&finding.advice, MOST))?;
    }
    let number = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let count = |severity: Severity| {
        number(told.iter().filter(|(finding, _)| finding.severity == severity).count(), &severity.to_string())
    };
    let counts = [Severity::Error, Severity::Warning, Severity::Note].map(count);
    writeln!(out, "{}: {}", number(services, "service"), counts.join(", "))
}

/// The first `most` characters. What a file says must not write to a terminal as it pleases.
pub fn visible(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(most).collect()
}

/// For programs.
pub fn json(out: &mut impl Write, what: &(impl Serialize + ?Sized)) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, what)?;
    writeln!(out)
}

/// The rules.
pub fn rules(out: &mut impl Write) -> io::Result<()> {
    for rule in &RULES {
        let style = style(rule.severity);
        writeln!(out, "{:<17}{style}{:<8}{style:#} {}", rule.name, rule.severity.to_string(), rule.text)?;
    }
    Ok(())
}
