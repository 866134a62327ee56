//! Chat templates: from messages to the prompt that a model was trained on.
//!
//! A model file carries its template in Jinja2, written for Python and rendered by Hugging Face's
//! `transformers`; this folder makes MiniJinja behave as that does. Knows nothing of tokens: the
//! text it renders is tokenized with special tokens parsed.

mod python;

use crate::gguf::File;
use crate::{Error, Result};
use minijinja::{AutoEscape, Environment, ErrorKind, Value};
use std::collections::BTreeMap;

const KEY: &str = "tokenizer.chat_template";
/// The name of the one template in its environment.
const NAME: &str = "chat_template";
/// Steps of the template's program that one rendering may take: ten thousand messages need fewer, and
/// they cannot nest values deeper than [`STACK`] is good for. Fuzzing looks for other things than time.
const MAX_STEPS: u64 = if cfg!(fuzzing) { 20_000 } else { 1_000_000 };
/// Stack for a rendering, taken as it is used: a template can put a list into a list for as long as
/// it has steps, and dropping or printing that takes stack for every one.
const STACK: usize = 512 << 20;
/// How deep macros and includes may nest; each level takes some kilobytes of stack.
const MAX_DEPTH: usize = 100;

/// One turn of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: &'a str,
    /// What is said.
    pub content: &'a str,
}

/// A compiled chat template. Usable from any number of threads.
#[derive(Debug)]
pub struct Template {
    env: Environment<'static>,
}

impl Template {
    /// The model's template: `tokenizer.chat_template`, or `tokenizer.chat_template.<name>`. `None`
    /// if the file has none; an error if it does not compile.
    pub fn from_gguf(file: &File, name: Option<&str>) -> Result<Option<Template>> {
        let key = match name {
            None => KEY.to_string(),
            Some(name) => format!("{KEY}.{name}"),
        };
        let Some(source) = file.str(&key)? else { return Ok(None) };
        Template::new(source).map(Some).map_err(|e| Error::Format(format!("{key}: {e}")))
    }

    /// Compiles a template; an error says where it is wrong.
    pub fn new(source: &str) -> Result<Template> {
        let mut env = Environment::new();
        // What transformers sets.
        env.set_trim_blocks(true);
        env.set_lstrip_blocks(true);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        env.set_formatter(python::format);
        env.set_fuel(Some(MAX_STEPS));
        env.set_recursion_limit(MAX_DEPTH);
        env.add_function("raise_exception", raise_exception);
        env.add_function("strftime_now", python::strftime_now);
        env.add_filter("tojson", python::tojson);
        env.add_filter("string", python::string);
        let source = python::without_generation_tags(source);
        guarded(|| env.add_template_owned(NAME, source))?.map_err(|e| Error::Format(describe(&e)))?;
        Ok(Template { env })
    }

    /// The prompt for `messages`; with `add_generation_prompt` it ends where the assistant's answer
    /// begins.
    ///
    /// `bos` and `eos` are the texts that the template knows as `bos_token` and `eos_token`. The
    /// members of `extra`, a JSON object, are variables too (`tools`, `documents`,
    /// `enable_thinking`, ...); one called `messages` takes the place of `messages`, so that turns
    /// may hold more than text. An error has the template's own message if the template refuses
    /// the conversation.
    pub fn render(
        &self,
        messages: &[Message<'_>],
        add_generation_prompt: bool,
        bos: &str,
        eos: &str,
        extra: Option<serde_json::Value>,
    ) -> Result<String> {
        let turn = |m: &Message<'_>| {
            [("role", Value::from(m.role)), ("content", Value::from(m.content))]
                .into_iter()
                .collect::<Value>()
        };
        let mut variables: BTreeMap<String, Value> = [
            ("messages", messages.iter().map(turn).collect()),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
            ("bos_token", Value::from(bos)),
            ("eos_token", Value::from(eos)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into();
        match extra {
            None | Some(serde_json::Value::Null) => {}
            Some(serde_json::Value::Object(members)) => {
                variables.extend(members.into_iter().map(|(name, v)| (name, Value::from_serialize(v))));
            }
            Some(other) => {
                return Err(Error::InvalidArgument(format!(
                    "the extra variables of a chat template must be a JSON object, not {other}"
                )));
            }
        }
        let template = self.env.get_template(NAME).map_err(|e| Error::Internal(describe(&e)))?;
        guarded(|| template.render(variables))?
            .map_err(|e| Error::InvalidArgument(format!("chat template: {}", describe(&e))))
    }
}

/// Runs the template engine, on a thread with a large stack. It has rare panics (reversing an empty
/// slice is one); templates come with model files, so a panic is an error here.
fn guarded<T: Send>(f: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("rf-chat".into()).stack_size(STACK);
        let running = thread
            .spawn_scoped(scope, f)
            .map_err(|e| Error::OutOfMemory(format!("no thread to render the chat template on: {e}")))?;
        running
            .join()
            .map_err(|_| Error::Unsupported("the chat template hit a defect of the template engine".into()))
    })
}

fn raise_exception(message: String) -> std::result::Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// What went wrong and in which line, in one line.
fn describe(e: &minijinja::Error) -> String {
    let what = match e.detail() {
        Some(detail) => detail.to_string(),
        None => e.kind().to_string(),
    };
    match e.line() {
        Some(line) => format!("{what} (line {line})"),
        None => what,
    }
}
