//! What `bench` has measured, as Markdown, CSV or JSON. Rows of the first two appear as soon as
//! they are known.

use serde_json::{Value as Json, json};

use crate::args::Format;
use crate::output;

/// A model's speed on this machine.
pub struct Report {
    /// The model in a few words.
    pub model: String,
    /// Bytes of all tensors.
    pub n_bytes: u64,
    /// Elements of all tensors.
    pub n_params: u64,
    /// Bytes of weights that generating one token reads.
    pub bytes_per_token: u64,
    /// What computed.
    pub backend: String,
    /// Threads for a single token.
    pub n_threads: usize,
    /// Threads for a prompt.
    pub n_threads_batch: usize,
    /// Most tokens of a batch.
    pub n_batch: usize,
    /// Most tokens computed at a time.
    pub n_ubatch: usize,
    /// Type of the cached keys.
    pub type_k: &'static str,
    /// Type of the cached values.
    pub type_v: &'static str,
    /// Bytes per second that `n_threads` threads read.
    pub bandwidth: f64,
    /// The tests so far.
    pub tests: Vec<Test>,
}

/// One test: a prompt, or generation.
pub struct Test {
    /// Tokens of the prompt.
    pub n_prompt: usize,
    /// Tokens generated.
    pub n_gen: usize,
    /// Tokens per second of each repetition.
    pub rates: Vec<f64>,
}

impl Test {
    fn name(&self) -> String {
        match self.n_gen {
            0 => format!("pp{}", self.n_prompt),
            n => format!("tg{n}"),
        }
    }

    fn mean(&self) -> f64 {
        self.rates.iter().sum::<f64>() / self.rates.len().max(1) as f64
    }

    /// The standard deviation of a sample; 0 where there is only one value.
    fn sd(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.rates.iter().map(|r| (r - mean).powi(2)).sum();
        (squares / self.rates.len().saturating_sub(1).max(1) as f64).sqrt()
    }
}

const GB: f64 = 1e9;

const CSV_HEAD: &str = "model,size,params,backend,threads,threads_batch,batch_size,ubatch_size,type_k,type_v,test,\
                        avg_ts,stddev_ts,gb_s,bandwidth_gb_s,share_of_bandwidth\n";

impl Report {
    /// What comes before the rows.
    pub fn head(&self, format: Format) -> String {
        match format {
            Format::Md => format!(
                "read bandwidth of {} threads: {:.1} GB/s; {}\n\n\
                 | model | size | params | threads | test | t/s | GB/s | of bandwidth |\n\
                 | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |\n",
                self.n_threads,
                self.bandwidth / GB,
                self.backend
            ),
            Format::Csv => CSV_HEAD.into(),
            Format::Json => String::new(),
        }
    }

    /// The row of the last test.
    pub fn row(&self, format: Format) -> String {
        let Some(test) = self.tests.last() else { return String::new() };
        let (mean, sd) = (test.mean(), test.sd());
        let roof = self.roof(test);
        match format {
            Format::Md => {
                let (gb_s, share) = match roof {
                    Some((rate, share)) => (format!("{:.1}", rate / GB), format!("{:.0}%", share * 100.0)),
                    None => ("-".into(), "-".into()),
                };
                let (size, params) = (output::bytes(self.n_bytes), millions(self.n_params));
                let n_threads = if test.n_gen > 0 { self.n_threads } else { self.n_threads_batch };
                let (model, test) = (self.model.replace('|', "\\|"), test.name());
                format!(
                    "| {model} | {size} | {params} | {n_threads} | {test} | {mean:.2} \u{b1} {sd:.2} | {gb_s} | \
                     {share} |\n"
                )
            }
            Format::Csv => {
                let (gb_s, share) = match roof {
                    Some((rate, share)) => (format!("{:.3}", rate / GB), format!("{share:.4}")),
                    None => Default::default(),
                };
                let fields = [
                    csv(&self.model),
                    self.n_bytes.to_string(),
                    self.n_params.to_string(),
                    csv(&self.backend),
                    self.n_threads.to_string(),
                    self.n_threads_batch.to_string(),
                    self.n_batch.to_string(),
                    self.n_ubatch.to_string(),
                    self.type_k.into(),
                    self.type_v.into(),
                    test.name(),
                    format!("{mean:.3}"),
                    format!("{sd:.3}"),
                    gb_s,
                    format!("{:.3}", self.bandwidth / GB),
                    share,
                ];
                fields.join(",") + "\n"
            }
            Format::Json => String::new(),
        }
    }

    /// What comes after the rows.
    pub fn tail(&self, format: Format) -> String {
        if format != Format::Json {
            return String::new();
        }
        let tests: Vec<Json> = self
            .tests
            .iter()
            .map(|test| {
                let roof = self.roof(test);
                json!({
                    "test": test.name(),
                    "n_prompt": test.n_prompt,
                    "n_gen": test.n_gen,
                    "avg_ts": test.mean(),
                    "stddev_ts": test.sd(),
                    "samples_ts": test.rates,
                    "gb_s": roof.map(|(rate, _)| rate / GB),
                    "share_of_bandwidth": roof.map(|(_, share)| share),
                })
            })
            .collect();
        let report = json!({
            "model": self.model,
            "size": self.n_bytes,
            "params": self.n_params,
            "bytes_per_token": self.bytes_per_token,
            "backend": self.backend,
            "threads": self.n_threads,
            "threads_batch": self.n_threads_batch,
            "batch_size": self.n_batch,
            "ubatch_size": self.n_ubatch,
            "type_k": self.type_k,
            "type_v": self.type_v,
            "bandwidth_gb_s": self.bandwidth / GB,
            "tests": tests,
        });
        format!("{report:#}\n")
    }

    /// Bytes per second of weights that a test read, and their share of the bandwidth. A prompt
    /// reads each weight once for many tokens, so there it says nothing.
    fn roof(&self, test: &Test) -> Option<(f64, f64)> {
        let rate = test.mean() * self.bytes_per_token as f64;
        (test.n_gen > 0).then(|| (rate, rate / self.bandwidth))
    }
}

fn millions(n: u64) -> String {
    match n as f64 {
        n if n >= 1e9 => format!("{:.2} B", n / 1e9),
        n => format!("{:.2} M", n / 1e6),
    }
}

/// A field, in quotes (RFC 4180).
fn csv(s: &str) -> String {
    format!("\"{}\"", s.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviation_is_that_of_a_sample() {
        let test = |rates: &[f64]| Test { n_prompt: 0, n_gen: 3, rates: rates.to_vec() };
        assert_eq!(test(&[2.0, 4.0, 6.0]).mean(), 4.0);
        assert_eq!(test(&[2.0, 4.0, 6.0]).sd(), 2.0);
        assert_eq!(test(&[7.0]).sd(), 0.0);
        assert_eq!(test(&[1.0]).name(), "tg3");
    }

    #[test]
    fn csv_fields_are_quoted() {
        assert_eq!(csv("a \"b\", c"), "\"a \"\"b\"\", c\"");
    }
}
