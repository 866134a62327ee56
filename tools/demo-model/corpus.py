"""Generator of the demo model's corpus: short, simple tales in plain English.

    python3 corpus.py --tales 1000 --first 0 > tales.txt

Tale number N of a seed is always the same text, whatever the range or the
number of jobs, so disjoint ranges are disjoint sets of draws: training uses
numbers from 0, the held-out file those from HELD_OUT on:

    python3 corpus.py --first 1000000000 --tales 50 > ../../models/heldout.txt

A tale is one plot (plots.py) told about a cast, a world and a season drawn
from the tables (words.py). Texts are templates: `[a|b|]` picks one
alternative, `{h}` is a member of the cast, `{h.his}` a form of it, `{^h.he}`
the same with a capital. Articles are made to agree and sentences get their
capitals at the end, over the whole tale. Tales are separated by a blank line;
paragraphs within a tale by a line break.
"""

import argparse
import functools
import multiprocessing
import random
import re
import sys

import words

HELD_OUT = 1_000_000_000
PRONOUNS = {"h": ("he", "him", "his", "himself"), "s": ("she", "her", "her", "herself")}


def any_of(phrases):
    return re.compile("|".join(rf"\b{p}" + (r"\b" if p[-1].isalpha() else "") for p in sorted(phrases, key=len, reverse=True)))


OTHER, CONTRACTED = any_of(words.OTHER_WORDS), any_of(words.CONTRACTIONS)
SPEAKER = re.compile(r'([,?!]") (said|asked|cried) ([A-Z][a-z]+|(?:the|his|her) [a-z]+)\.')


@functools.lru_cache(maxsize=None)
def parse(text):
    """Template text -> sequence of str, (entity, form, capital) and [sequences]."""

    def sequence(i, inside):
        items, alternatives = [], []
        while i < len(text):
            c = text[i]
            if c == "[":
                alternative, i = sequence(i + 1, True)
                items.append(alternative)
            elif inside and c == "|":
                alternatives.append(items)
                items, i = [], i + 1
            elif inside and c == "]":
                return alternatives + [items], i + 1
            elif c == "{":
                end = text.index("}", i)
                name = text[i + 1 : end]
                capital = name.startswith("^")
                entity, _, form = name.lstrip("^").partition(".")
                items.append((entity, form, capital))
                i = end + 1
            else:
                end = min((j for j in (text.find(s, i) for s in "[{|]") if j >= 0), default=len(text))
                end = max(end, i + 1)
                items.append(text[i:end])
                i = end
        if inside:
            raise ValueError(f"unclosed [ in {text!r}")
        return items, i

    return sequence(0, False)[0]


class Tale:
    """One tale in the making: its draws, its cast by letter, its paragraphs."""

    def __init__(self, rng):
        self.rng, self.cast, self.paragraphs, self.told = rng, {}, [[]], set()

    # --- drawing ---
    def pick(self, options):
        """One of a sequence, or of the `|`-separated alternatives of a string."""
        if isinstance(options, str):
            options = options.split("|")
        return options[int(self.rng.random() * len(options))]

    def chance(self, p):
        return self.rng.random() < p

    # --- telling ---
    def expand(self, text):
        out = []
        self._walk(parse(text), out)
        return "".join(out)

    def _walk(self, items, out):
        for item in items:
            if isinstance(item, str):
                out.append(item)
            elif isinstance(item, list):
                self._walk(item[int(self.rng.random() * len(item))], out)
            else:
                entity, form, capital = item
                forms = self.cast[entity]
                word = self.expand(forms if isinstance(forms, str) else forms[form])
                out.append(word[0].upper() + word[1:] if capital else word)

    def say(self, *options):
        """Tells one of the options that this tale has not told yet."""
        fresh = [o for o in options if o not in self.told] or options
        text = self.pick(fresh)
        self.told.add(text)
        self.paragraphs[-1].append(re.sub(r'^"?[a-z]', lambda m: m[0].upper(), self.expand(text)))

    def maybe(self, p, *options):
        if self.chance(p):
            self.say(*options)

    def para(self):
        if self.paragraphs[-1]:
            self.paragraphs.append([])

    def fix(self, name, template):
        """Draws a phrase once and keeps it for the rest of the tale."""
        self.cast[name] = self.expand(template)
        return self.cast[name]

    # --- the cast ---
    def person(self, gender, **forms):
        he, him, his, himself = PRONOUNS[gender]
        return {"he": he, "him": him, "his": his, "himself": himself, "gender": gender, **forms}

    def character(self, letter, kind, gender, taken):
        adjectives, go, run, home, hand, _ = words.KIND[kind]
        if kind in words.HUMAN:
            names = words.BOYS if gender == "h" else words.GIRLS
        else:
            names = words.HE_PETS if gender == "h" else words.SHE_PETS
        name = self.pick([n for n in names if n not in taken])
        adjective = self.pick(adjectives)
        self.cast[letter] = self.person(
            gender, **{
                "": name, "kind": kind, "hand": hand, "hands": "feet" if hand == "foot" else hand + "s", "home": self.expand(home),
                "a": f"a {adjective} {kind}", "intro": f"a {adjective} {kind} [named|called|named|called|by the name of] {name}",
                "the": f"the [little|{adjective}|] {kind}".replace("|]", "|young]"),
                "go": f"[{go}]", "run": f"[{run.replace('@', letter)}]",
            })

    def helper(self, letter, key):
        adjectives, noun, genders = words.HELPER[key]
        adjective = self.pick(adjectives)
        hero = self.cast["h"]["gender"]
        gender = genders if len(genders) == 1 else ("s" if hero == "h" else "h")
        human = key in words.HUMAN_HELPER
        self.cast[letter] = self.person(
            gender, **{"": f"the {noun}", "a": f"a {adjective} {noun}", "noun": noun, "human": human, "flies": key in words.FLYING_HELPER,
                       "hand": "hand" if human else "head"})

    def place(self, letter, key):
        name, preposition, tag, hides = words.PLACE[key]
        name = self.expand(name)
        if self.season == "winter" and tag != "indoor":
            hides = "under the snow|behind a snowy bush|beside a frozen puddle|under a bare tree"
        self.cast[letter] = {"": name, "at": f"{preposition} {name}", "tag": tag, "hides": hides.split("|")}

    def treasure(self, letter, row=None):
        noun, adjectives, plural, use, look = row or self.pick(words.TREASURE)
        adjective = self.pick(adjectives)
        article = "a pair of " if plural else "a "
        self.cast[letter] = {
            "": f"{adjective} {noun}", "n": noun, "a": f"{article}{adjective} {noun}", "the": f"the [{adjective} |]{noun}",
            "it": "them" if plural else "it", "they": "they" if plural else "it", "was": "were" if plural else "was",
            "is": "are" if plural else "is", "plural": plural, "one": article + noun,
            "use": use.replace("{o.", "{" + letter + "."), "look": look}

    def family(self, letter="m"):
        noun, call, gender = self.pick(words.FAMILY)
        self.cast[letter] = self.person(gender, **{"": "{h.his} " + noun, "noun": noun, "call": call})

    def set_scene(self):
        """World, season, weather, hero, friend of the other gender, places, helper."""
        rng = self.rng
        self.world = self.pick(list(words.WORLD))
        where, places, helpers = words.WORLD[self.world]
        self.season = rng.choices(list(words.SEASON), (5, 5, 4, 2))[0]
        self.weather = words.SEASON[self.season][1]
        self.cast["season"] = self.season
        self.fix("where", where)
        kinds = [k for k, v in words.KIND.items() if self.world in v[5].split()]
        humans = [k for k in kinds if k in words.HUMAN]
        animals = [k for k in kinds if k not in words.HUMAN]
        kind = self.pick(humans) if humans and (not animals or self.chance(0.6)) else self.pick(animals)
        gender = "h" if kind in words.HE_ONLY else "s" if kind in words.SHE_ONLY else self.pick("h|s")
        self.character("h", kind, gender, ())
        other = "s" if gender == "h" else "h"
        pool = [k for k in (humans if kind in words.HUMAN and humans and self.chance(0.75) else animals or humans)
                if k != kind and k not in (words.HE_ONLY if other == "s" else words.SHE_ONLY)] or animals
        self.character("f", self.pick(pool), other, (self.cast["h"][""],))
        for letter, key in zip("pqr", rng.sample(places.split(), 3)):
            self.place(letter, key)
        away = words.SUMMER_HELPER if self.season == "winter" else ()
        self.helpers = [k for k in helpers.split() if words.HELPER[k][1] not in (kind, self.cast["f"]["kind"]) and k not in away]
        self.helper("k", self.pick(self.helpers))
        self.family()
        self.cast["h"]["mum"] = self.cast["m"]["noun"]
        self.treasure("o")
        self.cast["trait"] = self.pick(words.TRAITS)
        self.fix("habit", self.pick(words.HABITS))
        self.fix("sky", self.pick(words.SKY[self.season]))

    def text(self):
        paragraphs = [" ".join(self.pronouns(p)) for p in self.paragraphs if p]
        contract = self.chance(0.3)
        return "\n".join(polish(self.vary(p, contract)) for p in paragraphs)

    def pronouns(self, told):
        """Often "she" where the hero is the subject twice in a row and nobody else was mentioned."""
        hero, he = self.cast["h"][""], self.cast["h"]["he"].capitalize()
        others = [self.cast[x][""] for x in "fk"] + [self.cast["m"]["noun"], '"']
        for i in range(1, len(told)):
            before = told[i - 1]
            if before.startswith((hero + " ", he + " ")) and not any(o in before for o in others) and self.chance(0.6):
                told[i] = re.sub(rf"^{hero} (?=[a-z])", he + " ", told[i])
        return told

    def vary(self, text, contract):
        """Other words for the same, wherever they occur."""
        if contract:
            text = CONTRACTED.sub(lambda m: words.CONTRACTIONS[m[0]], text)
        text = OTHER.sub(lambda m: self.pick(words.OTHER_WORDS[m[0]]), text)
        text = re.sub(r'!" cried ', lambda m: self.pick('!" cried |!" cried |!" called |!" exclaimed '), text)
        return SPEAKER.sub(lambda m: f"{m[1]} {m[3]} {m[2]}." if self.chance(0.3) else m[0], text)


def polish(text):
    """Articles by sound, capitals after a full stop, single spaces, no space before a comma."""
    text = re.sub(r" {2,}", " ", text).strip()
    text = re.sub(r" ([,.!?])", r"\1", text)
    text = re.sub(r"\b([Aa]) (?=[aeiou](?!ne\b|nce\b|seful\b|nicorn\b)|hour\b|Auntie\b)", r"\1n ", text)
    return re.sub(r'(^"?|[.!?] "?)([a-z])', lambda m: m[1] + m[2].upper(), text)


def tale(seed, number):
    """The text of one tale."""
    import plots

    t = Tale(random.Random(seed * 1_000_003 + number))
    t.set_scene()
    plots.tell(t)
    return t.text()


def _tale(arguments):
    return tale(*arguments)


def generate(seed, first, count, jobs):
    """Yields `count` tales from number `first` on, in order."""
    numbers = ((seed, n) for n in range(first, first + count))
    if jobs == 1:
        yield from map(_tale, numbers)
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from pool.imap(_tale, numbers, chunksize=1000)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--tales", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    a = parser.parse_args()
    for i, text in enumerate(generate(a.seed, a.first, a.tales, a.jobs)):
        sys.stdout.write(("\n" if i else "") + text + "\n")


if __name__ == "__main__":
    main()
