//! Chat templates: the common forms against what `transformers` renders, and templates that misbehave.

use rocmforge::chat::{Message, Template};
use rocmforge::gguf::{File, Writer};
use serde_json::json;

const TALK: [Message<'static>; 4] = [
    Message { role: "system", content: "Be brief.\n" },
    Message { role: "user", content: "Hi <there> & 'you'" },
    Message { role: "assistant", content: " Hello! " },
    Message { role: "user", content: "日本?" },
];

fn render(template: &str, messages: &[Message<'_>], answer: bool) -> Result<String, String> {
    let template = Template::new(template).map_err(|e| e.to_string())?;
    template.render(messages, answer, "<s>", "</s>", None).map_err(|e| e.to_string())
}

#[test]
fn chatml() {
    let template = "{% for m in messages %}
{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}
    {% endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
";
    assert_eq!(
        render(template, &TALK[1..3], true).unwrap(),
        "<|im_start|>user\nHi <there> & 'you'<|im_end|>\n\n<|im_start|>assistant\n Hello! <|im_end|>\n\n\
         <|im_start|>assistant\n"
    );
    assert_eq!(render(template, &[], false).unwrap(), "");
}

#[test]
fn llama2() {
    let template = "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}\
        {% set system = '<<SYS>>\\n' ~ messages[0].content.strip() ~ '\\n<</SYS>>\\n\\n' %}\
        {% else %}{% set rest = messages %}{% set system = '' %}{% endif %}\
        {% for m in rest %}\
        {% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
        {{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
        {% if m.role == 'user' %}{{ bos_token + '[INST] ' + (system if loop.first else '') + m.content.strip() + ' [/INST]' }}\
        {% elif m.role == 'assistant' %}{{ ' ' + m.content | trim + ' ' + eos_token }}{% endif %}\
        {% endfor %}";
    assert_eq!(
        render(template, &TALK, true).unwrap(),
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi <there> & 'you' [/INST] Hello! </s><s>[INST] 日本? [/INST]"
    );
    let twice = [TALK[1], TALK[1]];
    let e = render(template, &twice, true).unwrap_err();
    assert!(e.contains("Roles must alternate user/assistant/user/assistant/..."), "{e}");
}

#[test]
fn llama3() {
    let template = "{{- bos_token }}
{%- if not date is defined %}
    {%- set date = '26 Jul 2024' %}
{%- endif %}
{#- The system message, if there is one -#}
{%- set ns = namespace(n=0) %}
{%- for m in messages %}
    {%- set ns.n = ns.n + 1 %}
    {{- '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' }}
    {%- if m.role == 'system' %}
        {{- 'Today: ' + date + '\\n\\n' }}
    {%- endif %}
    {{- m['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
{{- ns.n }}";
    assert_eq!(
        render(template, &TALK[..2], true).unwrap(),
        "<s><|start_header_id|>system<|end_header_id|>\n\nToday: 26 Jul 2024\n\nBe brief.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nHi <there> & 'you'<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\n2"
    );
}

#[test]
fn mistral_with_tools() {
    let template = "{{ bos_token }}{% if tools is not none %}[AVAILABLE_TOOLS] {{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}\
        {% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}";
    let template = Template::new(template).unwrap();
    let tools = json!({"tools": [{"name": "a<b>'s & \"q\"", "n": 1.5, "e": [], "o": {}, "b": true, "z": null, "s": "é"}]});
    assert_eq!(
        template.render(&TALK[1..2], false, "<s>", "</s>", Some(tools)).unwrap(),
        "<s>[AVAILABLE_TOOLS] [{\"name\": \"a<b>'s & \\\"q\\\"\", \"n\": 1.5, \"e\": [], \"o\": {}, \"b\": true, \
         \"z\": null, \"s\": \"é\"}][/AVAILABLE_TOOLS][INST] Hi <there> & 'you'[/INST]"
    );
    let plain = template.render(&TALK[1..2], false, "<s>", "</s>", None).unwrap();
    assert_eq!(plain, "<s>[INST] Hi <there> & 'you'[/INST]");
}

#[test]
fn values_print_as_in_python() {
    let text = |source: &str| render(source, &[], true).unwrap();
    assert_eq!(text("{{ true }} {{ none }} {{ 1 }} {{ 1.5 }} {{ x }}"), "True None 1 1.5 ");
    assert_eq!(
        text("{{ ['a', \"it's\", 2, true] }} {{ {'k': none} }}"),
        "['a', \"it's\", 2, True] {'k': None}"
    );
    assert_eq!(text("{{ add_generation_prompt | string }}"), "True");
    assert_eq!(
        text("{{ {'b': 1, 'a': [2]} | tojson(indent=2) }}"),
        "{\n  \"b\": 1,\n  \"a\": [\n    2\n  ]\n}"
    );
    assert_eq!(
        text("{{ {'b': [], 'a': 'é😀'} | tojson(sort_keys=true, ensure_ascii=true) }}"),
        "{\"a\": \"\\u00e9\\ud83d\\ude00\", \"b\": []}"
    );
    assert_eq!(text("{{ {'b': 1} | tojson(separators=(',', ':')) }}"), "{\"b\":1}");
    assert_eq!(text("{{ 'a,b'.split(',')[-1].upper() }}{{ 'xay'.replace('a', '-') }}"), "Bx-y");
    assert_eq!(
        text(
            "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}"
        ),
        "02"
    );
    assert_eq!(text("{%- generation -%} {{ 'x' }} {%- endgeneration +%} y"), "x y");
    let year: u32 = text("{{ strftime_now('%Y') }}").parse().unwrap();
    assert!(year > 2024);
    assert_eq!(text("{{ strftime_now('%%d') }}{{ strftime_now('') }}"), "%d");
}

#[test]
fn turns_may_hold_more_than_text() {
    let template =
        Template::new("{% for p in messages[0].content %}{{ p.type }}:{{ p.text }};{% endfor %}").unwrap();
    let parts = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]});
    assert_eq!(template.render(&[], false, "", "", Some(parts)).unwrap(), "text:a;");
    let e = template.render(&[], false, "", "", Some(json!([1]))).unwrap_err().to_string();
    assert!(e.contains("JSON object"), "{e}");
}

#[test]
fn templates_that_misbehave_are_errors() {
    let e = Template::new("a\n{% if %}").unwrap_err().to_string();
    assert!(e.contains("line 2"), "{e}");
    for endless in [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{% for i in range(2) %}{{ f(n + 1) }}{% endfor %}{% endmacro %}{{ f(0) }}",
        "{% include 'chat_template' %}",
    ] {
        assert!(render(endless, &TALK, true).is_err(), "{endless}");
    }
    // A panic inside the template engine.
    assert!(render("{{ messages[::-1] }}", &[], true).is_err());
    assert!(render(&"{% if true %}".repeat(1000), &[], true).is_err());
    assert!(render("{{ messages[0].content.no_such_method() }}", &TALK, true).is_err());
}

#[test]
fn templates_of_a_file() {
    let mut w = Writer::new();
    w.set("tokenizer.chat_template", "default {{ bos_token }}").unwrap();
    w.set("tokenizer.chat_template.tool_use", "tools").unwrap();
    w.set("tokenizer.chat_template.broken", "{% for %}").unwrap();
    let file = File::from_bytes(w.into_bytes().unwrap()).unwrap();
    let text = |name| {
        Template::from_gguf(&file, name).unwrap().map(|t| t.render(&[], false, "<s>", "", None).unwrap())
    };
    assert_eq!(text(None).as_deref(), Some("default <s>"));
    assert_eq!(text(Some("tool_use")).as_deref(), Some("tools"));
    assert_eq!(text(Some("rag")), None);
    let e = Template::from_gguf(&file, Some("broken")).unwrap_err().to_string();
    assert!(e.starts_with("tokenizer.chat_template.broken: "), "{e}");
}

/// Lists in lists in lists: dropped, printed and compared without running out of stack.
#[test]
fn values_may_nest_as_deep_as_a_template_can_make_them() {
    let deep = "{% set ns = namespace(x=[]) %}{% for i in range(90) %}{% for j in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}{% endfor %}";
    let unrolled = format!("{{% set x = [] %}}{}", "{% set x = [x] %}".repeat(250_000));
    for use_of_it in
        ["", "{{ ns.x }}", "{{ ns.x | tojson }}", "{{ ns.x == [ns.x] }}", "{{ ns.x | string | length }}"]
    {
        let template = Template::new(&format!("{deep}{use_of_it}")).unwrap();
        // Whether it prints or is refused is the engine's affair.
        let _ = template.render(&[], false, "", "", None);
    }
    for use_of_it in ["", "{{ x }}", "{{ x | tojson }}", "{{ {x: x} == {x: x} }}"] {
        let template = Template::new(&format!("{unrolled}{use_of_it}")).unwrap();
        let _ = template.render(&[], false, "", "", None);
    }
}
