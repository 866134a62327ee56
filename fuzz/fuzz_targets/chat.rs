//! A chat template and a conversation.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rocmforge::chat::{Message, Template};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    messages: Vec<(&'a str, &'a str)>,
    add_generation_prompt: bool,
    extra: Option<&'a str>,
    source: &'a str,
}

fuzz_target!(|input: Input<'_>| {
    let Ok(template) = Template::new(input.source) else { return };
    let messages: Vec<Message> =
        input.messages.iter().map(|&(role, content)| Message { role, content }).collect();
    let extra = input.extra.and_then(|e| serde_json::from_str(e).ok());
    let _ = template.render(&messages, input.add_generation_prompt, "<s>", "</s>", extra);
});
