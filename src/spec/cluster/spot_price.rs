//! What is paid for spot instances.

use std::fmt;

use serde::Serialize;

/// The most that is paid for a spot instance, in dollars an hour: a decimal number without zeros that say nothing, so that
/// one price has one form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpotPrice(String);

impl SpotPrice {
    /// The least in thousandths of a dollar: EC2 refuses less (EC2 API, `SpotMarketOptions`).
    const LEAST: f64 = 1.0;

    /// Reads a price such as `0.05`; nothing where EC2 wouldn't take it.
    pub fn read(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || text.parse::<f64>().ok()? * 1000.0 < Self::LEAST {
            return None;
        }
        let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
        let whole = if whole.is_empty() { "0" } else { whole };
        Some(Self(if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }))
    }

    /// As EC2 takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SpotPrice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_price_has_one_form_and_what_ec2_refuses_is_none() {
        for (text, read) in
            [("0.05", "0.05"), ("0.050", "0.05"), ("1", "1"), ("01.00", "1"), ("0.001", "0.001")]
        {
            assert_eq!(SpotPrice::read(text).unwrap().as_str(), read);
        }
        for wrong in ["", ".5", "1.", "0", "0.0009", "-1", "1e3", "$1", "0,05", "inf", "1.2.3"] {
            assert_eq!(SpotPrice::read(wrong), None, "{wrong}");
        }
    }
}
