// SPDX-License-Identifier: MIT
//! What becomes of a module's answer: the second word of a line, pam.conf(5).

use crate::line::nearest;

/// An answer of a module: a PAM return value.
pub type Answer = usize;

/// The names of the answers, each at its number.
pub const ANSWERS: [&str; 32] = [
    "success",
    "open_err",
    "symbol_err",
    "service_err",
    "system_err",
    "buf_err",
    "perm_denied",
    "auth_err",
    "cred_insufficient",
    "authinfo_unavail",
    "user_unknown",
    "maxtries",
    "new_authtok_reqd",
    "acct_expired",
    "session_err",
    "cred_unavail",
    "cred_expired",
    "cred_err",
    "no_module_data",
    "conv_err",
    "authtok_err",
    "authtok_recover_err",
    "authtok_lock_busy",
    "authtok_disable_aging",
    "try_again",
    "ignore",
    "abort",
    "authtok_expired",
    "module_unknown",
    "bad_item",
    "conv_again",
    "incomplete",
];

/// PAM_SUCCESS.
pub const SUCCESS: Answer = 0;
/// PAM_BUF_ERR.
pub const BUF_ERR: Answer = 5;
/// PAM_PERM_DENIED, which libpam answers where it has none.
pub const PERM_DENIED: Answer = 6;
/// PAM_USER_UNKNOWN.
pub const USER_UNKNOWN: Answer = 10;
/// PAM_NEW_AUTHTOK_REQD.
pub const NEW_AUTHTOK_REQD: Answer = 12;
/// PAM_SESSION_ERR.
pub const SESSION_ERR: Answer = 14;
/// PAM_CRED_ERR.
pub const CRED_ERR: Answer = 17;
/// PAM_IGNORE.
pub const IGNORE: Answer = 25;
/// PAM_ABORT, as which libpam refuses a service.
pub const ABORT: Answer = 26;
/// PAM_MODULE_UNKNOWN, the answer of a module that is not there.
pub const MODULE_UNKNOWN: Answer = 28;

/// What libpam does with an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the words of pam.conf(5)")]
pub enum Action {
    Ignore,
    Ok,
    Done,
    Bad,
    Die,
    Reset,
    /// Over so many modules.
    Jump(u32),
}

const KEYWORDS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];
const ACTIONS: [(&str, Action); 6] = [
    ("ignore", Action::Ignore),
    ("ok", Action::Ok),
    ("done", Action::Done),
    ("bad", Action::Bad),
    ("die", Action::Die),
    ("reset", Action::Reset),
];

/// The action for each answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control([Action; ANSWERS.len()]);

impl Control {
    /// All answers are failures: what libpam makes of a control that it cannot read.
    pub const BAD: Control = Control([Action::Bad; ANSWERS.len()]);

    fn keyword(success: Action, ignore: Action, default: Action) -> Control {
        let mut actions = [default; ANSWERS.len()];
        for (answer, action) in [(SUCCESS, success), (NEW_AUTHTOK_REQD, success), (IGNORE, ignore)] {
            if let Some(place) = actions.get_mut(answer) {
                *place = action;
            }
        }
        Control(actions)
    }

    /// Reads a keyword, in upper or lower case, or pairs of an answer and an action. Else says what is wrong.
    pub fn parse(word: &str) -> Result<Control, String> {
        match &*word.to_ascii_lowercase() {
            "required" => Ok(Control::keyword(Action::Ok, Action::Ignore, Action::Bad)),
            "requisite" => Ok(Control::keyword(Action::Ok, Action::Ignore, Action::Die)),
            "sufficient" => Ok(Control::keyword(Action::Done, Action::Ignore, Action::Ignore)),
            "optional" => Ok(Control::keyword(Action::Ok, Action::Ignore, Action::Ignore)),
            _ if !word.contains('=') && !trim(word).is_empty() => Err(match nearest(word, &KEYWORDS) {
                Some(keyword) => format!("no such keyword ({keyword}?)"),
                None => format!("no such keyword as {}", KEYWORDS.join(", ")),
            }),
            _ => Control::parse_pairs(word),
        }
    }

    /// What stands first wins over a `default` after it, and what stands last over the same answer before it.
    fn parse_pairs(word: &str) -> Result<Control, String> {
        let mut actions = [None; ANSWERS.len()];
        let mut rest = trim(word);
        while !rest.is_empty() {
            let (answer, after) = answer(rest).ok_or_else(|| format!("no answer of a module: {rest:?}"))?;
            let after = trim(after).strip_prefix('=').ok_or("no = after an answer")?;
            let (action, after) = action(trim(after))?;
            match answer {
                Some(answer) => {
                    if let Some(place) = actions.get_mut(answer) {
                        *place = Some(action);
                    }
                }
                None => actions.iter_mut().for_each(|place| *place = place.or(Some(action))),
            }
            rest = trim(after);
        }
        Ok(Control(actions.map(|action| action.unwrap_or(Action::Bad))))
    }

    /// What is done with this answer. One that there is not is a failure.
    pub fn action(&self, answer: Answer) -> Action {
        self.0.get(answer).copied().unwrap_or(Action::Bad)
    }
}

/// As isspace(3).
fn trim(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c'])
}

/// The answer that `text` begins with, None for `default`, and the rest.
fn answer(text: &str) -> Option<(Option<Answer>, &str)> {
    let named = ANSWERS.iter().enumerate().find_map(|(answer, name)| Some((Some(answer), text.strip_prefix(name)?)));
    named.or_else(|| Some((None, text.strip_prefix("default")?)))
}

/// The action that `text` begins with, and the rest.
fn action(text: &str) -> Result<(Action, &str), String> {
    if let Some(found) = ACTIONS.iter().find_map(|(name, action)| Some((*action, text.strip_prefix(name)?))) {
        return Ok(found);
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    match digits.parse() {
        _ if digits.is_empty() => Err(format!("no action: {text:?}")),
        Ok(0) => Err("a jump over no module".to_owned()),
        Ok(modules) => Ok((Action::Jump(modules), rest)),
        Err(_) => Ok((Action::Jump(u32::MAX), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_what_the_manual_says() {
        for (keyword, pairs) in [
            ("required", "success=ok new_authtok_reqd=ok ignore=ignore default=bad"),
            ("Requisite", "success=ok new_authtok_reqd=ok ignore=ignore default=die"),
            ("sufficient", "success=done new_authtok_reqd=done default=ignore"),
            ("OPTIONAL", "success=ok new_authtok_reqd=ok default=ignore"),
        ] {
            assert_eq!(Control::parse(keyword), Control::parse(pairs), "{keyword}");
        }
    }

    #[test]
    fn pairs_are_read_as_far_as_they_make_sense() {
        let control = Control::parse(" default = 2 success=okignore=die ").expect("a control");
        assert_eq!(
            [SUCCESS, IGNORE, ABORT].map(|answer| control.action(answer)),
            [Action::Ok, Action::Die, Action::Jump(2)]
        );
        for broken in ["requird", "success", "success=", "success=0", "success=no", "succes=ok", "=ok"] {
            assert!(Control::parse(broken).is_err(), "{broken}");
        }
    }
}
