//! The sampler chain against straightforward f64 implementations, and its promises at the edges.

use proptest::prelude::*;
use rocmforge::Error;
use rocmforge::sampler::{
    Candidate, Candidates, Chain, Dist, Greedy, Kind, LogitBias, MinP, Params, Penalties, RANDOM_SEED,
    Sampler, Temperature, Token, TopK, TopP, Typical,
};
use std::sync::{Arc, Mutex};

/// A user's own sampler: writes down what reaches it.
#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<Candidate>>>);

impl Sampler for Capture {
    fn name(&self) -> &'static str {
        "capture"
    }
    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        candidates.softmax();
        *self.0.lock().unwrap() = candidates.items().clone();
    }
    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

fn items(logits: &[f32]) -> Vec<Candidate> {
    (0..).zip(logits).map(|(id, &logit)| Candidate { id, logit, p: 0.0 }).collect()
}

/// A sampler under test, described once for both sides.
#[derive(Clone, Debug)]
enum Step {
    TopK(i32),
    TopP(f32, usize),
    MinP(f32, usize),
    Typical(f32, usize),
    Temp(f32),
    Bias(Vec<(Token, f32)>),
    Penalties(usize, f32, f32, f32),
}

impl Step {
    fn push(&self, chain: &mut Chain) {
        match self.clone() {
            Step::TopK(k) => chain.push(TopK::new(k)),
            Step::TopP(p, keep) => chain.push(TopP::new(p, keep).unwrap()),
            Step::MinP(p, keep) => chain.push(MinP::new(p, keep).unwrap()),
            Step::Typical(p, keep) => chain.push(Typical::new(p, keep).unwrap()),
            Step::Temp(t) => chain.push(Temperature::new(t).unwrap()),
            Step::Bias(b) => chain.push(LogitBias::new(&b).unwrap()),
            Step::Penalties(n, r, f, p) => chain.push(Penalties::new(n, r, f, p).unwrap()),
        }
    }

    /// The same in f64, by sorting everything and copying freely.
    fn reference(&self, mut c: Vec<(Token, f64)>, accepted: &[Token]) -> Vec<(Token, f64)> {
        let sort = |c: &mut Vec<(Token, f64)>| c.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        match *self {
            Step::TopK(k) => {
                if k > 0 {
                    sort(&mut c);
                    c.truncate(k as usize);
                }
            }
            Step::TopP(p, keep) => {
                if p < 1.0 {
                    sort(&mut c);
                    let probs = softmax(&c);
                    let mut sum = 0.0;
                    let n = probs.iter().enumerate().position(|(i, q)| {
                        sum += q;
                        sum >= f64::from(p) && i + 1 >= keep
                    });
                    c.truncate(n.map_or(c.len(), |n| n + 1));
                }
            }
            Step::MinP(p, keep) => {
                if p > 0.0 {
                    sort(&mut c);
                    let probs = softmax(&c);
                    let n = probs.iter().take_while(|&&q| q >= f64::from(p) * probs[0]).count();
                    c.truncate(n.max(keep).max(1));
                }
            }
            Step::Typical(p, keep) => {
                if p < 1.0 {
                    let probs = softmax(&c);
                    let entropy: f64 = probs.iter().filter(|&&q| q > 0.0).map(|q| -q * q.ln()).sum();
                    let mut order: Vec<usize> = (0..c.len()).collect();
                    let score = |i: usize| (-probs[i].ln() - entropy).abs();
                    order.sort_by(|&a, &b| score(a).total_cmp(&score(b)).then(c[a].0.cmp(&c[b].0)));
                    let mut sum = 0.0;
                    let n = order.iter().enumerate().position(|(i, &at)| {
                        sum += probs[at];
                        sum > f64::from(p) && i + 1 >= keep
                    });
                    order.truncate(n.map_or(c.len(), |n| n + 1));
                    c = order.iter().map(|&i| c[i]).collect();
                }
            }
            Step::Temp(t) if t > 0.0 => c.iter_mut().for_each(|x| x.1 /= f64::from(t)),
            Step::Temp(_) => {
                let mut sorted = c.clone();
                sort(&mut sorted);
                c.iter_mut().filter(|x| x.0 != sorted[0].0).for_each(|x| x.1 = f64::NEG_INFINITY);
            }
            Step::Bias(ref biases) => {
                for (token, bias) in biases {
                    c.iter_mut().filter(|x| x.0 == *token).for_each(|x| x.1 += f64::from(*bias));
                }
            }
            Step::Penalties(last_n, repeat, freq, present) => {
                let recent = &accepted[accepted.len().saturating_sub(last_n)..];
                for x in &mut c {
                    let count = recent.iter().filter(|&&t| t == x.0).count();
                    if count > 0 {
                        let r = f64::from(repeat);
                        x.1 = if x.1 <= 0.0 { x.1 * r } else { x.1 / r };
                        x.1 -= count as f64 * f64::from(freq) + f64::from(present);
                    }
                }
            }
        }
        c
    }
}

fn softmax(c: &[(Token, f64)]) -> Vec<f64> {
    let max = c.iter().map(|x| x.1).fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = c.iter().map(|x| (x.1 - max).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

/// Numbers for the tests, of their own: xorshift64*.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }
    /// Roughly normal.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
    fn logits(&mut self, n: usize) -> Vec<f32> {
        let scale = [0.3, 2.0, 6.0][self.below(3)];
        let banned = self.below(4) == 0;
        let mut logits: Vec<f32> = (0..n).map(|_| self.normal() * scale).collect();
        if banned {
            logits.iter_mut().skip(1).step_by(3).for_each(|x| *x = f32::NEG_INFINITY);
        }
        logits
    }
    fn step(&mut self, n: usize) -> Step {
        let keep = [0, 0, 1, 3, 300][self.below(5)];
        match self.below(7) {
            0 => Step::TopK([0, 1, 2, 40, 300, 5000][self.below(6)]),
            1 => Step::TopP([0.0, 0.3, 0.9, 0.95, 0.999, 1.0][self.below(6)], keep),
            2 => Step::MinP([0.0, 0.01, 0.05, 0.5, 1.5][self.below(5)], keep),
            3 => Step::Typical([0.2, 0.9, 1.0][self.below(3)], keep),
            4 => Step::Temp([0.3, 0.8, 1.0, 1.7][self.below(4)]),
            5 => Step::Bias((0..6).map(|_| (self.below(n + 2) as Token - 1, self.normal())).collect()),
            _ => Step::Penalties([0, 1, 7, 64][self.below(4)], 1.1 + self.unit(), self.unit(), self.unit()),
        }
    }
}

/// The row of logits, the same as explicit items, and the reference give one distribution; the two forms
/// even the same items and the same token, bit for bit.
fn compare(logits: &[f32], steps: &[Step], accepted: &[Token]) {
    let (mut chain, capture) = (Chain::new(), Capture::default());
    steps.iter().for_each(|s| s.push(&mut chain));
    chain.push(capture.clone());
    chain.push(Dist::new(7));
    accepted.iter().for_each(|&t| chain.accept(t));

    let mut explicit_chain = chain.clone();
    let mut explicit = items(logits);
    let from_items = explicit_chain.apply(&mut Candidates::new(&mut explicit)).unwrap().unwrap();
    let explicit = capture.0.lock().unwrap().clone();

    let mut bare = Chain::new();
    steps.iter().for_each(|s| s.push(&mut bare));
    bare.push(Dist::new(7));
    accepted.iter().for_each(|&t| bare.accept(t));
    assert_eq!(bare.sample(logits).unwrap(), from_items, "{steps:?}");

    assert_eq!(chain.sample(logits).unwrap(), from_items, "{steps:?}");
    let row = capture.0.lock().unwrap().clone();
    assert_eq!(row, explicit, "{steps:?}");

    let mut want: Vec<(Token, f64)> = (0..).zip(logits).map(|(id, &x)| (id, f64::from(x))).collect();
    for step in steps {
        want = step.reference(want, accepted);
    }
    let probs = softmax(&want);
    assert_eq!(row.len(), want.len(), "{steps:?}");
    let mut by_id: Vec<(Token, f64)> = want.iter().map(|x| x.0).zip(probs).collect();
    by_id.sort_by_key(|x| x.0);
    let mut got = row.clone();
    got.sort_by_key(|c| c.id);
    for (c, (id, p)) in got.iter().zip(by_id) {
        assert_eq!(c.id, id, "{steps:?}");
        assert!((f64::from(c.p) - p).abs() < 1e-6, "token {id}: p {} not {p}; {steps:?}", c.p);
    }
    assert!(row.iter().any(|c| c.id == from_items && c.p > 0.0), "an impossible token was drawn");
}

#[test]
fn every_sampler_alone_and_in_chains_equals_the_reference() {
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for round in 0..600 {
        let n = [1, 2, 40, 127, 128, 129, 1000, 20_000][numbers.below(8)];
        let logits = numbers.logits(n);
        let accepted: Vec<Token> = (0..100).map(|_| numbers.below(n.min(60)) as Token).collect();
        let steps: Vec<Step> = (0..1 + round % 5).map(|_| numbers.step(n)).collect();
        compare(&logits, &steps, &accepted);
    }
}

#[test]
fn equal_logits_keep_the_lowest_ids() {
    let logits: Vec<f32> = (0..5000).map(|i| (i % 4) as f32).collect();
    for steps in [
        vec![Step::TopK(40)],
        vec![Step::Temp(0.7), Step::TopK(3)],
        vec![Step::TopK(2000)],
        vec![Step::Bias(vec![(4, 3.0)]), Step::TopK(2)],
    ] {
        compare(&logits, &steps, &[]);
    }
    let mut chain = Chain::new();
    let capture = Capture::default();
    chain.push(TopK::new(3));
    chain.push(capture.clone());
    chain.push(Greedy);
    assert_eq!(chain.sample(&logits).unwrap(), 3);
    let ids: Vec<Token> = capture.0.lock().unwrap().iter().map(|c| c.id).collect();
    assert_eq!(ids, [3, 7, 11]);

    // Zeros of either sign are equal.
    assert_eq!(greedy(&[-1.0, -0.0, 0.0]), 1);
    let mut moved = vec![
        Candidate { id: 9, logit: 1.0, p: 0.0 },
        Candidate { id: 2, logit: 1.0, p: 0.0 },
        Candidate { id: 5, logit: 0.0, p: 0.0 },
    ];
    let mut chain = Chain::new();
    chain.push(Greedy);
    assert_eq!(chain.apply(&mut Candidates::new(&mut moved)).unwrap(), Some(2));
}

fn greedy(logits: &[f32]) -> Token {
    let mut chain = Chain::new();
    chain.push(Greedy);
    chain.sample(logits).unwrap()
}

#[test]
fn greedy_takes_the_largest_wherever_it_is() {
    for n in [1, 128, 129, 1000] {
        for at in [0, n / 2, n - 1] {
            let mut logits = vec![-2.0; n];
            logits[at] = -1.0;
            assert_eq!(greedy(&logits), at as Token);
        }
    }
}

#[test]
fn temperature_of_zero_is_greedy() {
    let mut numbers = Numbers(5);
    for temp in [0.0, -1.0] {
        let logits = numbers.logits(3000);
        let params = Params { temp, seed: 3, ..Params::default() };
        assert_eq!(params.build().unwrap().sample(&logits).unwrap(), greedy(&logits));
        compare(&logits, &[Step::Temp(temp)], &[]);
        compare(&logits, &[Step::Temp(temp), Step::TopP(0.9, 4)], &[]);
    }
}

#[test]
fn moved_items_are_edited_by_id() {
    let mut chain = Chain::new();
    chain.push(LogitBias::new(&[(1, 10.0), (0, 1.0), (1, 5.0), (70_000, 3.0), (-4, 3.0)]).unwrap());
    let item = |id, logit| Candidate { id, logit, p: 0.0 };
    let mut items = vec![item(5, 1.0), item(1, 2.0), item(0, 3.0)];
    chain.apply(&mut Candidates::new(&mut items)).unwrap();
    assert_eq!(items, [item(5, 1.0), item(1, 17.0), item(0, 4.0)]);
}

#[test]
fn penalties_forget_what_is_older_than_last_n() {
    let mut chain = Chain::new();
    chain.push(Penalties::new(3, 2.0, 0.25, 0.5).unwrap());
    let after = |chain: &mut Chain| {
        let mut items = items(&[4.0, -4.0, 4.0]);
        chain.apply(&mut Candidates::new(&mut items)).unwrap();
        items.iter().map(|c| c.logit).collect::<Vec<_>>()
    };
    assert_eq!(after(&mut chain), [4.0, -4.0, 4.0]);
    for t in [2, 0, 1, 1] {
        chain.accept(t);
    }
    let want = [4.0 / 2.0 - 0.75, -4.0 * 2.0 - 1.0, 4.0];
    assert_eq!(after(&mut chain), want);
    let mut copy = chain.clone();
    chain.reset();
    assert_eq!(after(&mut chain), [4.0, -4.0, 4.0]);
    assert_eq!(after(&mut copy), want);
    // Ids that no vocabulary has are remembered and harmless.
    for t in [Token::MIN, -1, Token::MAX] {
        copy.accept(t);
    }
    assert_eq!(after(&mut copy), [4.0, -4.0, 4.0]);
}

#[test]
fn dist_follows_the_distribution() {
    let logits: Vec<f32> = [0.05f32, 0.3, 0.1, 0.0, 0.25, 0.02, 0.08, 0.2].map(f32::ln).to_vec();
    let mut wide = vec![f32::NEG_INFINITY; 1000];
    for (i, &x) in logits.iter().enumerate() {
        wide[i * 140] = x;
    }
    for (logits, stride, seed) in [(&logits, 1, 42), (&wide, 140, 43)] {
        let mut chain = Chain::new();
        chain.push(Dist::new(seed));
        let draws = 200_000;
        let mut counts = [0u32; 8];
        for _ in 0..draws {
            counts[chain.sample(logits).unwrap() as usize / stride] += 1;
        }
        assert_eq!(counts[3], 0, "a token of probability 0 was drawn");
        let chi2: f64 = [(0, 0.05), (1, 0.3), (2, 0.1), (4, 0.25), (5, 0.02), (6, 0.08), (7, 0.2)]
            .iter()
            .map(|&(i, p)| (f64::from(counts[i]) - p * f64::from(draws)).powi(2) / (p * f64::from(draws)))
            .sum();
        // 6 degrees of freedom: 22.46 is passed by chance once in a thousand.
        assert!(chi2 < 22.46, "chi-square {chi2}, counts {counts:?}");
    }
}

#[test]
fn a_seed_gives_the_same_tokens_everywhere() {
    let logits: Vec<f32> = (0..50).map(|i| (i * i % 17) as f32 / 4.0).collect();
    let mut chain = Params { seed: 1, ..Params::default() }.build().unwrap();
    let first: Vec<Token> = (0..12).map(|_| chain.sample(&logits).unwrap()).collect();
    assert_eq!(first, SEED_1);
    let mut copy = chain.clone();
    let next: Vec<Token> = (0..20).map(|_| chain.sample(&logits).unwrap()).collect();
    assert_eq!((0..20).map(|_| copy.sample(&logits).unwrap()).collect::<Vec<_>>(), next);
    chain.reset();
    assert_eq!((0..12).map(|_| chain.sample(&logits).unwrap()).collect::<Vec<_>>(), first);
    assert_eq!(chain.seed(), Some(1));
}

const SEED_1: [Token; 12] = [29, 3, 13, 29, 30, 47, 47, 41, 14, 26, 38, 10];

#[test]
fn a_random_seed_is_told() {
    let mut a = Params::default().build().unwrap();
    let seed = a.seed().unwrap();
    assert_ne!(seed, RANDOM_SEED);
    let mut b = Params { seed, ..Params::default() }.build().unwrap();
    let logits: Vec<f32> = (0..100).map(|i| (i % 7) as f32 / 3.0).collect();
    for _ in 0..50 {
        assert_eq!(a.sample(&logits).unwrap(), b.sample(&logits).unwrap());
    }
    assert_ne!(Params::default().build().unwrap().seed(), Params::default().build().unwrap().seed());
}

/// The message of the error that sampling `logits` gives, row and items alike.
fn fails(steps: &[Step], last: Option<&dyn Sampler>, logits: &[f32]) -> String {
    let mut chain = Chain::new();
    steps.iter().for_each(|s| s.push(&mut chain));
    if let Some(last) = last {
        chain.push_box(last.clone_box());
    }
    let row = match chain.sample(logits) {
        Err(Error::InvalidArgument(message)) => message,
        other => panic!("not an error: {other:?} {steps:?}"),
    };
    if let Ok(Some(token)) = chain.apply(&mut Candidates::new(&mut items(logits))) {
        panic!("explicit candidates gave {token}");
    }
    row
}

#[test]
fn nan_is_an_error() {
    let each = [
        Step::TopK(4),
        Step::TopK(3000),
        Step::TopP(0.9, 0),
        Step::MinP(0.1, 0),
        Step::Typical(0.9, 0),
        Step::Temp(0.5),
        Step::Temp(0.0),
        Step::Bias(vec![(3, 1.0)]),
    ];
    for nan in [f32::NAN, -f32::NAN] {
        for at in [0, 700, 3999] {
            let mut logits = Numbers(3).logits(4000);
            logits[at] = nan;
            for step in &each {
                for last in [&Dist::new(1) as &dyn Sampler, &Greedy] {
                    let message = fails(std::slice::from_ref(step), Some(last), &logits);
                    assert!(message.contains("NaN"), "{message}");
                }
            }
            assert!(fails(&[], Some(&Greedy), &logits).contains("NaN"));
        }
    }
    // A bias that turns -inf into NaN.
    let forced = Step::Bias(vec![(1, f32::INFINITY)]);
    assert!(fails(&[forced, Step::TopK(1)], Some(&Greedy), &[0.0, f32::NEG_INFINITY, 1.0]).contains("NaN"));
}

#[test]
fn infinities_are_limits() {
    let inf = f32::INFINITY;
    for steps in [
        vec![],
        vec![Step::TopK(2)],
        vec![Step::TopP(0.9, 0)],
        vec![Step::MinP(0.1, 0)],
        vec![Step::Typical(0.9, 0)],
    ] {
        let mut chain = Chain::new();
        steps.iter().for_each(|s| s.push(&mut chain));
        let capture = Capture::default();
        chain.push(capture.clone());
        chain.push(Dist::new(1));
        let mut seen = [0; 4];
        for _ in 0..200 {
            seen[chain.sample(&[1.0, inf, 3.0, inf]).unwrap() as usize] += 1;
        }
        assert!(seen[0] == 0 && seen[2] == 0 && seen[1] > 60 && seen[3] > 60, "{steps:?}: {seen:?}");
        assert!(capture.0.lock().unwrap().iter().all(|c| c.p == if c.logit == inf { 0.5 } else { 0.0 }));
        assert_eq!(greedy(&[1.0, inf, 3.0, inf]), 1);

        assert!(fails(&steps, Some(&Dist::new(1)), &[-inf; 300]).contains("-inf"));
        assert!(fails(&steps, Some(&Greedy), &[-inf; 300]).contains("-inf"));
    }
}

#[test]
fn a_chain_that_cannot_select_says_so() {
    assert!(fails(&[Step::TopK(4)], None, &[1.0, 2.0]).contains("selects no token"));
    assert!(fails(&[], Some(&Greedy), &[]).contains("0 logits"));

    #[derive(Clone)]
    struct Refuse;
    impl Sampler for Refuse {
        fn name(&self) -> &'static str {
            "refuse"
        }
        fn apply(&mut self, candidates: &mut Candidates<'_>) {
            candidates.items().clear();
        }
        fn clone_box(&self) -> Box<dyn Sampler> {
            Box::new(Refuse)
        }
    }
    for step in
        [Step::TopK(2), Step::TopP(0.5, 2), Step::MinP(0.1, 2), Step::Typical(0.2, 1), Step::Temp(0.0)]
    {
        let mut chain = Chain::new();
        chain.push(Refuse);
        step.push(&mut chain);
        chain.push(Dist::new(1));
        let message = chain.sample(&[1.0, 2.0]).unwrap_err().to_string();
        assert!(message.contains("no candidate"), "{message}");
    }
}

#[test]
fn values_out_of_range_are_named() {
    assert!(TopP::new(f32::NAN, 0).unwrap_err().to_string().contains("top-p"));
    assert!(MinP::new(f32::INFINITY, 0).unwrap_err().to_string().contains("min-p"));
    assert!(Typical::new(f32::NAN, 0).unwrap_err().to_string().contains("typical"));
    assert!(Temperature::new(f32::INFINITY).unwrap_err().to_string().contains("temperature"));
    assert!(Penalties::new(1, 0.0, 0.0, 0.0).unwrap_err().to_string().contains("repetition"));
    assert!(Penalties::new(usize::MAX, 1.1, 0.0, 0.0).is_err());
    assert!(LogitBias::new(&[(1, 0.0), (7, f32::NAN)]).unwrap_err().to_string().contains("token 7"));
}

#[test]
fn chains_are_edited_and_nested() {
    let mut chain = Params { logit_bias: vec![(0, 1.0)], ..Params::default() }.build().unwrap();
    let names = ["logit-bias", "penalties", "top-k", "typical", "top-p", "min-p", "temp", "dist"];
    assert_eq!(chain.names().collect::<Vec<_>>(), names);
    assert_eq!(chain.remove(7).unwrap().name(), "dist");
    chain.insert(7, Box::new(Greedy)).unwrap();
    assert!(chain.insert(9, Box::new(Greedy)).is_err());
    assert!(chain.remove(8).is_err());
    assert_eq!(chain.get(7).unwrap().name(), "greedy");

    let mut outer = Chain::new();
    outer.push(chain);
    assert_eq!(outer.sample(&[2.0, 2.5, 1.0]).unwrap(), 0);
}

#[test]
fn orders_are_parsed() {
    let order = "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature";
    let order = Kind::parse_order(order).unwrap();
    assert_eq!(order, Kind::DEFAULT);
    let order = Kind::parse_order("Temp; top-p ;minp;;nucleus").unwrap();
    assert_eq!(order, [Kind::Temperature, Kind::TopP, Kind::MinP, Kind::TopP]);
    let message = Kind::parse_order("top_k;top_q").unwrap_err().to_string();
    assert!(message.contains("'top_q'") && message.contains("typ_p"), "{message}");
}

fn any_step() -> impl Strategy<Value = Step> {
    let keep = prop_oneof![0usize..5, Just(usize::MAX)];
    prop_oneof![
        any::<i32>().prop_map(Step::TopK),
        (1i32..50).prop_map(Step::TopK),
        (-1f32..2.0, keep.clone()).prop_map(|(p, k)| Step::TopP(p, k)),
        (-1f32..2.0, keep.clone()).prop_map(|(p, k)| Step::MinP(p, k)),
        (-1f32..2.0, keep).prop_map(|(p, k)| Step::Typical(p, k)),
        prop_oneof![-1f32..2.0, Just(f32::MIN_POSITIVE), Just(f32::MAX)].prop_map(Step::Temp),
        proptest::collection::vec((any::<Token>(), -1e38f32..1e38), 0..5).prop_map(Step::Bias),
        proptest::collection::vec((0..400, prop_oneof![-9f32..9.0, Just(f32::INFINITY)]), 0..9)
            .prop_map(Step::Bias),
        (0usize..9, f32::MIN_POSITIVE..1e30, -1e38f32..1e38, -9f32..9.0)
            .prop_map(|(n, r, f, p)| Step::Penalties(n, r, f, p)),
    ]
}

proptest! {
    #[test]
    fn no_input_panics(
        logits in proptest::collection::vec(
            prop_oneof![6 => -20f32..20.0, 1 => Just(f32::NEG_INFINITY), 1 => proptest::num::f32::ANY], 0..500),
        steps in proptest::collection::vec(any_step(), 0..6),
        accepted in proptest::collection::vec(prop_oneof![0..400, any::<Token>()], 0..12),
        sorted: bool,
    ) {
        let mut chain = Chain::new();
        steps.iter().for_each(|s| s.push(&mut chain));
        chain.push(Dist::new(1));
        accepted.iter().for_each(|&t| chain.accept(t));
        let mut explicit = chain.clone();
        if let Ok(token) = chain.sample(&logits) {
            prop_assert!((token as usize) < logits.len());
            prop_assert!(logits.iter().all(|x| !x.is_nan()));
            let mut items = items(&logits);
            prop_assert_eq!(explicit.apply(&mut Candidates::new(&mut items)).unwrap(), Some(token));
        }
        let mut items = items(&logits);
        let mut candidates = Candidates::new(&mut items);
        candidates.set_sorted(sorted);
        let _ = explicit.apply(&mut candidates);
    }
}
