//! Histories that cannot be: a legal run, changed so that one promise is broken. Each must be rejected by the rule of that promise.

mod clients;
mod leases;
mod results;
pub(crate) mod story;

use std::collections::BTreeSet;

use chaos::checker::{Evidence, Rule, check};

use story::Story;

/// The rule that must object, what was done, and how.
type Forgery = (Rule, &'static str, fn(&mut Story));

const ALL: [&[Forgery]; 3] = [clients::FORGERIES, leases::FORGERIES, results::FORGERIES];

#[test]
fn the_story_itself_is_accepted() {
    let verdict = check(Story::new().evidence);
    assert!(verdict.holds(), "{verdict}");
    let counts = verdict.counts;
    assert_eq!((counts.requests, counts.acknowledged, counts.refused), (10, 8, 1));
    assert_eq!((counts.tasks, counts.done, counts.failed, counts.cancelled), (18, 16, 1, 1));
    assert_eq!((counts.dead, counts.pauses, counts.crashes, counts.lost_claims), (1, 1, 0, 0));
}

#[test]
fn every_forgery_is_rejected_by_its_rule() {
    for (rule, what, forge) in ALL.into_iter().flatten() {
        let mut story = Story::new();
        forge(&mut story);
        assert_ne!(story.evidence, Story::new().evidence, "{what}: nothing was forged");
        let verdict = check(story.evidence);
        assert!(verdict.totals.contains_key(rule), "{what}: {rule:?} does not object\n{verdict}");
        assert!(
            verdict.violations.iter().any(|violation| violation.rule == *rule),
            "{what}: the violation is not told"
        );
    }
}

#[test]
fn every_rule_has_forgeries() {
    let forged: BTreeSet<Rule> = ALL.into_iter().flatten().map(|(rule, ..)| *rule).collect();
    assert_eq!(forged, BTreeSet::from(Rule::ALL));
}

#[test]
fn of_many_violations_some_are_shown_and_all_are_counted() {
    let mut evidence = Evidence::default();
    let lines = Story::new().evidence.lines;
    for line in lines.iter().cycle().filter(|line| matches!(line.event, chaos::history::Event::Acknowledged { .. })) {
        evidence.lines.push(line.clone());
        if evidence.lines.len() == 1000 {
            break;
        }
    }
    let verdict = check(evidence);
    let of_answers = verdict.violations.iter().filter(|violation| violation.rule == Rule::Answers);
    assert_eq!((verdict.totals[&Rule::Answers], of_answers.count()), (1000, chaos::checker::SHOWN));
    let text = verdict.to_string();
    assert!(text.contains("Answers: 1000 violations, 100 shown"), "{text}");
    assert!(text.contains("was answered and never sent"), "{text}");
}
