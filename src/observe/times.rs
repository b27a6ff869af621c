//! How much the times of some calls deviate: of some and of others together, and of all without some.

/// How long calls took: their number, their sum and the sum of the squares of what each is off the mean.
#[derive(Clone, Copy)]
pub struct Times {
    calls: f64,
    sum: f64,
    squares: f64,
}

impl Times {
    /// So many calls that took so much together, with this deviation of all of them; in any unit of time.
    pub fn of(calls: i64, sum: f64, deviation: f64) -> Self {
        let calls = calls.max(0) as f64;
        Self {
            calls,
            sum,
            squares: calls * deviation * deviation,
        }
    }

    fn mean(self) -> f64 {
        self.sum / self.calls.max(1.0)
    }

    /// The squares that come to those of two sets of calls because their means differ.
    fn between(self, other: Self) -> f64 {
        let (apart, all) = (self.mean() - other.mean(), self.calls + other.calls);
        apart * apart * self.calls * other.calls / all.max(1.0)
    }

    /// Of the calls of both.
    pub fn with(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares + self.between(other),
        }
    }

    /// Of these calls without the first of them. What is small beside both may be lost in rounding, and is never negative.
    pub fn without(self, first: Self) -> Self {
        let rest = Self {
            calls: self.calls - first.calls,
            sum: self.sum - first.sum,
            squares: 0.0,
        };
        Self {
            squares: (self.squares - first.squares - first.between(rest)).max(0.0),
            ..rest
        }
    }

    /// Their standard deviation. No time is negative, so that with this mean they cannot deviate more than if one call had taken all of it.
    pub fn deviation(self) -> f64 {
        let possible = self.mean() * (self.calls - 1.0).max(0.0).sqrt();
        let variance = self.squares / self.calls.max(1.0);
        variance.sqrt().min(possible.max(0.0))
    }
}
