//! When something is due, as people write it: cron expressions in a time zone, hours of the day.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, TimeZone as _, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A schedule of five fields as crontab(5) has it: minute, hour, day of the month, month, day of the week.
#[derive(Clone, Debug, PartialEq)]
pub struct CronExpression {
    text: String,
    cron: Cron,
    between: Between,
}

/// The last two moments that were asked for, with their zone: until the later one is reached they are the answer.
#[derive(Debug, Default)]
struct Between(Mutex<Option<Moments>>);

type Moments = (Zone, DateTime<Utc>, DateTime<Utc>);

impl Clone for Between {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Between {
    fn eq(&self, _: &Self) -> bool {
        // what was asked is no part of the expression
        true
    }
}

/// A time zone by its name in the tz database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(pub Tz);

/// Hours of the day, on all days or some: `22:00-06:00`, `Mon-Fri 08:00-18:00`. It may go over midnight; it belongs to the
/// day on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DailyHours {
    text: String,
    from: NaiveTime,
    to: NaiveTime,
    /// By days from Monday.
    days: [bool; 7],
}

/// Why a schedule could not be read.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{0}")]
pub struct ScheduleError(String);

impl Default for Zone {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}

/// What each field of a cron expression may be.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31, or L for the last"),
    ("month", "1 to 12, or JAN to DEC"),
    ("day of the week", "0 to 7 (0 and 7 are Sunday), or SUN to SAT"),
];

impl CronExpression {
    /// The last moment at which it was due, not after this one, and the next, after this one. Cheap to ask again and again.
    pub fn around(&self, now: DateTime<Utc>, zone: Zone) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let mut between = self.between.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, last, next)) = *between
            && of == zone
            && last <= now
            && now < next
        {
            return (Some(last), Some(next));
        }
        let (last, next) = (self.last(now, zone), self.next(now, zone));
        *between = last.zip(next).map(|(last, next)| (zone, last, next));
        (last, next)
    }

    /// The last moment at which it was due, not after this one. In the hour that a clock skips it is due when the clock
    /// goes on; in the hour that comes twice, a fixed time is due once.
    pub fn last(&self, now: DateTime<Utc>, zone: Zone) -> Option<DateTime<Utc>> {
        let found = self
            .cron
            .find_previous_occurrence(&now.with_timezone(&zone.0), true);
        found.ok().map(|at| at.with_timezone(&Utc))
    }

    /// The next moment at which it is due, after this one.
    pub fn next(&self, now: DateTime<Utc>, zone: Zone) -> Option<DateTime<Utc>> {
        let found = self.cron.find_next_occurrence(&now.with_timezone(&zone.0), false);
        found.ok().map(|at| at.with_timezone(&Utc))
    }
}

impl FromStr for CronExpression {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() != FIELDS.len() && !text.trim().starts_with('@') {
            return Err(ScheduleError(format!(
                "the cron expression \"{text}\" has {} fields, and must have 5: minute, hour, day of the month, month, day of the \
                 week, as in \"0 1 * * *\" (every day at 01:00)",
                fields.len()
            )));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(text)
            .map_err(|error| wrong_field(text, &fields, &parser, &error))?;
        // some dates never come
        let probe = Utc
            .with_ymd_and_hms(2024, 1, 1, 0, 0, 0)
            .single()
            .unwrap_or_default();
        if cron.find_next_occurrence(&probe, true).is_err() {
            return Err(ScheduleError(format!(
                "the cron expression \"{text}\" is never due: no year has such a day"
            )));
        }
        Ok(Self {
            text: text.to_owned(),
            cron,
            between: Between::default(),
        })
    }
}

/// Which field it is, and what it may be: the field that is wrong also where all others are `*`.
fn wrong_field(text: &str, fields: &[&str], parser: &CronParser, error: &CronError) -> ScheduleError {
    let alone = |position: usize| {
        let mut alone = ["*"; FIELDS.len()];
        alone[position] = fields[position];
        parser.parse(&alone.join(" ")).is_err()
    };
    let wrong =
        (0..fields.len().min(FIELDS.len())).find(|position| fields.len() == FIELDS.len() && alone(*position));
    ScheduleError(match wrong {
        Some(position) => {
            let (name, values) = FIELDS[position];
            format!(
                "the {name} \"{}\" of the cron expression \"{text}\" cannot be read: it may be {values}, with \"*\", \"a-b\", \
                 \"*/n\" and commas",
                fields[position]
            )
        }
        None => format!("the cron expression \"{text}\" cannot be read: {error}"),
    })
}

impl FromStr for Zone {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        Tz::from_str(text).map(Self).map_err(|_| {
            let like: Vec<&str> = chrono_tz::TZ_VARIANTS
                .iter()
                .map(|zone| zone.name())
                .filter(|name| {
                    let city = name.rsplit('/').next().unwrap_or(name);
                    let given = text.rsplit('/').next().unwrap_or(text).replace(' ', "_");
                    !given.is_empty()
                        && (city.eq_ignore_ascii_case(&given) || name.eq_ignore_ascii_case(text))
                })
                .collect();
            let meant = match like[..] {
                [] => "write a name of the tz database, such as \"Europe/Stockholm\" or \"UTC\"".to_owned(),
                [first, ..] => format!("did you mean \"{first}\"?"),
            };
            ScheduleError(format!("there is no time zone \"{text}\": {meant}"))
        })
    }
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Mon),
    ("tue", Weekday::Tue),
    ("wed", Weekday::Wed),
    ("thu", Weekday::Thu),
    ("fri", Weekday::Fri),
    ("sat", Weekday::Sat),
    ("sun", Weekday::Sun),
];

impl DailyHours {
    /// Whether a moment is within these hours.
    pub fn contains(&self, at: DateTime<Utc>, zone: Zone) -> bool {
        let local = at.with_timezone(&zone.0);
        let time = local.time();
        let today = self.days[local.weekday().num_days_from_monday() as usize];
        let yesterday = self.days[(local.weekday().num_days_from_monday() as usize + 6) % 7];
        match self.from < self.to {
            true => today && self.from <= time && time < self.to,
            // over midnight, or the whole day
            false => today && self.from <= time || yesterday && time < self.to,
        }
    }

    /// The first full minute from this moment on that is outside; none if that is no time of a week.
    pub fn end_after(&self, at: DateTime<Utc>, zone: Zone) -> Option<DateTime<Utc>> {
        let minute = at.with_second(0)?.with_nanosecond(0)?;
        let minutes = 0..=7 * 24 * 60 + 1;
        minutes
            .map(|count| minute + TimeDelta::minutes(count))
            .find(|moment| *moment >= at && !self.contains(*moment, zone))
    }
}

impl FromStr for DailyHours {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let error = || {
            ScheduleError(format!(
                "the hours \"{text}\" cannot be read: write \"22:00-06:00\", \"Mon-Fri 08:00-18:00\" or \"Sat,Sun 00:00-24:00\""
            ))
        };
        let (days, hours) = match text.trim().rsplit_once(char::is_whitespace) {
            Some((days, hours)) => (Some(days.trim()), hours),
            None => (None, text.trim()),
        };
        let time = |text: &str| match text {
            "24:00" => Some(NaiveTime::MIN),
            text => NaiveTime::parse_from_str(text, "%H:%M").ok(),
        };
        let (from, to) = hours.split_once('-').ok_or_else(error)?;
        let (from, to) = (time(from).ok_or_else(error)?, time(to).ok_or_else(error)?);
        if from == to && from != NaiveTime::MIN {
            return Err(error());
        }
        Ok(Self {
            text: text.to_owned(),
            from,
            to,
            days: match days {
                None => [true; 7],
                Some(days) => read_days(days).ok_or_else(error)?,
            },
        })
    }
}

/// `Mon-Fri`, `Sat,Sun`, `Fri-Mon`.
fn read_days(text: &str) -> Option<[bool; 7]> {
    let position = |word: &str| {
        DAYS.iter().position(|(name, _)| {
            word.trim()
                .get(..3)
                .is_some_and(|word| word.eq_ignore_ascii_case(name))
        })
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (position(first)?, position(last)?);
        for day in first..=if last < first { last + 7 } else { last } {
            days[day % 7] = true;
        }
    }
    Some(days)
}

/// What is written as a text and read by [`FromStr`].
macro_rules! as_text {
    ($type:ty, $name:literal, $description:literal, $text:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text: fn(&Self) -> &str = $text;
                formatter.write_str(text(self))
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $description })
            }
        }
    };
}

as_text!(
    CronExpression,
    "CronExpression",
    "Minute, hour, day of the month, month, day of the week, as in crontab(5): \"0 1 * * *\".",
    |cron| &cron.text
);
as_text!(
    Zone,
    "Zone",
    "A time zone of the tz database: \"Europe/Stockholm\".",
    |zone| { zone.0.name() }
);
as_text!(
    DailyHours,
    "DailyHours",
    "Hours of the day, on all days or some: \"22:00-06:00\", \"Mon-Fri 08:00-18:00\".",
    |hours| &hours.text
);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    fn zone(text: &str) -> Zone {
        text.parse().unwrap()
    }

    #[test]
    fn a_bad_expression_says_which_field_and_what_it_may_be() {
        let why = |text: &str| text.parse::<CronExpression>().unwrap_err().to_string();
        for text in ["", "* * * *", "0 0 1 * * *", "1"] {
            assert!(why(text).contains("must have 5"), "{text}: {}", why(text));
        }
        assert!(
            why("60 1 * * *").starts_with("the minute \"60\""),
            "{}",
            why("60 1 * * *")
        );
        assert!(why("0 24 * * *").starts_with("the hour \"24\""));
        assert!(why("0 0 32 * *").starts_with("the day of the month \"32\""));
        assert!(why("0 0 * 13 *").starts_with("the month \"13\""));
        assert!(why("0 0 * * 8").starts_with("the day of the week \"8\""));
        assert!(why("0 0 * * foo").starts_with("the day of the week \"foo\""));
        assert!(why("0 0 30 2 *").contains("never due"), "{}", why("0 0 30 2 *"));
        assert!(why("0 0 31 4,6 *").contains("never due"));
        for good in [
            "0 0 29 2 *",
            "*/5 8-18 * * MON-FRI",
            "0 1 L * *",
            "15,45 * 1 JAN *",
        ] {
            assert!(good.parse::<CronExpression>().is_ok(), "{good}");
        }
    }

    #[test]
    fn each_day_is_due_once_over_both_changes_of_the_clock() {
        let stockholm = zone("Europe/Stockholm");
        let due = |text: &str, from: &str, to: &str| {
            let cron: CronExpression = text.parse().unwrap();
            let (mut now, end) = (at(from), at(to));
            let mut due = Vec::new();
            while let Some(next) = cron.next(now, stockholm).filter(|next| *next < end) {
                assert_eq!(cron.last(next, stockholm), Some(next));
                assert_eq!(cron.last(next + TimeDelta::seconds(59), stockholm), Some(next));
                for at in [now, next - TimeDelta::seconds(1), next] {
                    assert_eq!(
                        cron.around(at, stockholm),
                        (cron.last(at, stockholm), cron.next(at, stockholm))
                    );
                }
                due.push(next.format("%d %H:%M").to_string());
                now = next;
            }
            due
        };
        // 02:30 does not exist on 29 March 2026: it is due when the clock goes on
        let skipped = due("30 2 * * *", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
        assert_eq!(skipped, ["28 01:30", "29 01:00", "30 00:30"]);
        // and comes twice on 25 October 2026
        let twice = due("30 2 * * *", "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z");
        assert_eq!(twice, ["24 00:30", "25 00:30", "26 01:30"]);
        // what is due every hour is due in each of both
        let hourly = due("0 * * * *", "2026-10-24T23:30:00Z", "2026-10-25T03:30:00Z");
        assert_eq!(hourly, ["25 00:00", "25 01:00", "25 02:00", "25 03:00"]);
    }

    #[test]
    fn an_unknown_zone_is_told_with_the_one_that_was_meant() {
        let why = |text: &str| text.parse::<Zone>().unwrap_err().to_string();
        assert!(why("Europe/Stokholm").contains("tz database"));
        assert!(
            why("stockholm").contains("did you mean \"Europe/Stockholm\"?"),
            "{}",
            why("stockholm")
        );
        assert!(why("america/new york").contains("America/New_York"));
        assert!(why("").contains("no time zone \"\""));
    }

    #[test]
    fn hours_go_over_midnight_and_belong_to_the_day_on_which_they_begin() {
        let hours: DailyHours = "Fri 22:00-06:00".parse().unwrap();
        // 2026-11-20 is a Friday
        let inside = |text: &str| hours.contains(at(text), Zone::default());
        assert!(inside("2026-11-20T22:00:00Z") && inside("2026-11-21T05:59:59Z"));
        assert!(
            !inside("2026-11-21T06:00:00Z")
                && !inside("2026-11-20T05:00:00Z")
                && !inside("2026-11-21T22:30:00Z")
        );
        let end = hours.end_after(at("2026-11-20T23:10:30Z"), Zone::default());
        assert_eq!(end, Some(at("2026-11-21T06:00:00Z")));
        let local: DailyHours = "08:00-18:00".parse().unwrap();
        assert!(local.contains(at("2026-11-20T07:30:00Z"), zone("Europe/Stockholm")));
        let always: DailyHours = "00:00-24:00".parse().unwrap();
        assert_eq!(
            always.end_after(at("2026-11-20T07:30:00Z"), Zone::default()),
            None
        );
        for wrong in [
            "",
            "8-18",
            "25:00-26:00",
            "Foo 08:00-18:00",
            "08:00",
            "09:00-09:00",
            "Mo 08:00-18:00",
        ] {
            assert!(wrong.parse::<DailyHours>().is_err(), "{wrong}");
        }
    }
}
