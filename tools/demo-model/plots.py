"""Plots of the tale generator, first part, and what all plots share.

A plot is a function that tells one tale with `t.say(...)`, one of the given
paraphrases at a time. The cast (corpus.py sets it): h hero, f friend (always
of the other pronoun, so "he" and "she" never mix them up), k a helper met on
the way (named by noun when the friend is there), m family, o a treasure,
p q r places. State that later sentences rely on is drawn once with `t.fix`.
"""

import words

PLOTS = []


def plot(weight):
    def register(function):
        PLOTS.append((function, weight))
        return function

    return register


def tell(t):
    """Draws a plot and tells it; a plot that does not suit the scene returns False before it says anything."""
    import plots_more  # noqa: F401  (registers the second part on first use; it imports this module)

    t.cast["weather"] = t.pick(t.weather)
    t.cast["game"] = t.pick(words.GAMES)
    t.cast["tod"] = t.pick("morning|morning|afternoon|day")
    functions, weights = zip(*PLOTS)
    while t.rng.choices(functions, weights)[0](t) is False:
        pass


def spot(t, name, place):
    """Fixes a hiding spot of a place; no spot is drawn twice."""
    hides = [s for s in t.cast[place]["hides"] if s not in t.cast.values()] or t.cast[place]["hides"]
    t.cast[name] = t.pick(hides)


# --- openings, journeys, details, endings ---

def opening(t, alone=True):
    """Introduces the hero (and the friend unless alone); leaves `{day}` as the way into the first event."""
    t.cast["day"] = t.pick("one {weather} {tod}|one {weather} {tod}|one day|one {weather} {tod}, when {sky}|on a {weather} {tod}")
    style = t.rng.random()
    if style < 0.22:
        t.say("Once upon a time, {where}, there [lived|was] {h.intro}.", "Once upon a time there [lived|was] {h.intro}. {^h.he} lived {where}.",
              "Once upon a time, there was {h.intro} who lived {where}.")
        t.say("{h} was a {trait} {h.kind} who loved to {habit}.", "{^h.he} lived {h.home} with {m}.", "{^h.he} was very {trait}, and {h.he} loved to {habit}.",
              "Everyone there knew {h}, because {h.he} was so {trait}.")
    elif style < 0.40:
        t.say("{^where} lived {h.intro}.", "{^where} there lived {h.intro} who loved to {habit}.", "{^where}, {h.home}, lived {h.intro}.")
        t.maybe(0.7, "{h} lived there with {m}.", "{^h.he} was {trait} and [never in a hurry|always ready to help|full of ideas|never bored].",
                "Nobody [for miles around|there] was as {trait} as {h}.")
    elif style < 0.55:
        t.say("There [once was|was once] {h.intro} who lived {h.home}.", "{h} was {h.a} who lived {where}.", "Not so long ago, {h.intro} lived {where}.",
              "Long ago, {where}, there lived {h.intro}.", "Far away, {where}, lived {h.intro}.")
        t.say("{h} loved to {habit}.", "Every day, {h.he} liked to {habit}.", "What {h.he} loved most was to {habit}.", "{^h.he} was a {trait} {h.kind}.",
              "{^h.he} shared the house with {m}.")
    elif style < 0.68:
        t.say("It was a {weather} {tod} in {season}, and {sky}.", "One {weather} {tod} in {season}, {sky}.", "It was {season}, and {sky}.")
        t.say("{^h.intro} [looked out|peeped out] and [smiled|took a deep breath].", "{^h.intro} woke up [early|late] and [yawned|stretched|smiled].",
              "{^h.intro} had just finished breakfast.")
        t.cast["day"] = t.pick("that day|that {tod}|after breakfast|on this day")
    elif style < 0.80:
        t.say("This is the [story|tale] of {h.intro} who lived {where}.", "Have you heard of {h}? {^h.he} was {h.a}, and {h.he} lived {where}.",
              "Let me tell you about {h}, {h.a} who lived {where}.", "Everyone {where} knew {h}, {h.a} who loved to {habit}.")
        t.maybe(0.5, "{h} was [very|quite] {trait}.", "{^h.he} loved to {habit}.", "{^h.he} and {m} lived {h.home}.")
    else:
        t.say("{h} was {h.a}. {^h.he} lived {h.home}[ with {m}|].", "{^h.intro} lived with {m} {where}.", "{^h.intro} lived {h.home}, {where}.",
              "Many years ago, {where}, there lived {h.intro}.", "In a time long gone, {where}, lived {h.intro}.")
        t.maybe(0.6, "{^h.he} was {trait}, and {h.he} loved to {habit}.", "Most of all, {h.he} loved to {habit}.", "No other {h.kind} was as {trait} as {h.he} was.")
    if not alone:
        t.say("{^h.his} best friend was {f.intro}.", "{h} had a good friend, {f.intro}.", "Next door lived {f.intro}, and the two were the best of friends.",
              "{^h.he} had a friend called {f}, {f.a}.", "{^h.he} did everything together with {f.intro}.")


def detail(t, place, p=0.5):
    """Sometimes a sentence of landscape that fits the place and the season."""
    if not t.chance(p):
        return
    tag = t.cast[place]["tag"]
    if t.season == "winter" and tag != "indoor":
        t.say("The snow crunched [softly|loudly] at every step.", "A robin sat on a [snowy|bare] branch.", "The cold air made {h.his} nose [tingle|cold and red].",
              "Everything was white and [still|quiet].", "[Small|Big] snowflakes began to fall.")
    else:
        t.say(*[s.rstrip(".") + "." for s in words.DETAIL[tag].split(".|")])


def go(t, who, place, p=0.45):
    """Somebody goes to a place."""
    w, x = "{" + who, "{" + place
    t.say(f"{w}}} {w}.go}} to {x}}}.", f"So {w}}} {w}.go}} to {x}}}.", f"Off {w}.he}} went to {x}}}.", f"{w}}} [set off|set out] for {x}}}.",
          f"{w}}} {w}.go}} [all the way|straight|slowly|happily] to {x}}}.", f"[Soon|Before long] {w}}} came to {x}}}.", f"A little later, {w}}} was {x}.at}}.")
    detail(t, place, p)


def encounter(t, p=1.0):
    """Sometimes a small event on the way that changes nothing."""
    if not t.chance(p):
        return
    fits = []
    for text in words.ENCOUNTERS:
        text, _, seasons = text.partition("@")
        if (t.season in seasons) if seasons else t.season != "winter":
            fits.append(text)
    t.say(*fits)


def evening(t, p=1.0):
    t.maybe(p, *words.EVENINGS)


def home_again(t):
    evening(t, 0.3)
    t.maybe(0.5, "That [evening|night], {h} told {m} the whole story.", "When {h} told {m} about it, {m} [laughed|smiled|nodded] and hugged {h.him}.",
            "At supper, {h} talked and talked until {h.his} soup was cold.", "{h} slept very well that night.",
            "That night, {h} fell asleep with a [smile|happy heart].")


def moral(t, *lines):
    """The last sentence: the plot's own, or one that fits every plot."""
    t.say(*lines, *lines, "And that was the [best|happiest|finest] day of the whole {season}.", "It was a day that {h} would never forget.",
          "And {h} was [happy|very happy|as happy as could be].")


# --- plots ---

@plot(1.3)
def lost_treasure(t):
    opening(t)
    t.say("{h} had {o.a} that {h.he} loved more than anything.", "{^h.his} [dearest|favourite] thing in the world was {o.a}.",
          "{m} had given {h.him} {o.a}, and {h.he} {o.use}.", "For {h.his} birthday, {h} had got {o.a} from {m}.", "{h} owned {o.a}, and {h.he} {o.use}.")
    t.maybe(0.5, "{^o.they} {o.look}.")
    t.para()
    t.say("{^day}, {h} took {o.the} along to {p}.", "{^day}, {h} went to {p}, and of course {o.the} went along.", "{^day}, {h} played {game} {p.at}, and {o.the} [{o.was} there too|came along].")
    detail(t, "p")
    t.say("Later {h.he} {h.go} on to {q}.", "Then {h.he} went to {q} to look for {h.his} friend {f}.", "After that, {h.he} made a short stop {q.at}.", "On the way back {h.he} rested for a while {q.at}.")
    t.say("But when {h.he} came home, {o.the} {o.was} gone!", "But at home {h.he} noticed that {o.the} {o.was} missing.", "When {h.he} got home, {h.he} looked down and gasped. {^o.the} {o.was} gone!")
    t.say('"Oh no!" cried {h}. "Where {o.is} my {o.n}?"', '"My {o.n}!" {h.he} cried. "I have lost my {o.n}!"', "{h} looked everywhere in the house, but {h.he} could not find {o.it}.",
          "{h} felt a lump in {h.his} throat.", "Two big tears rolled down {h.his} face.")
    t.para()
    for s, x in (("s1", "q"), ("s2", "q"), ("s3", "p"), ("s4", "q")):
        spot(t, s, x)
    t.say("{h} {h.run} back to {q}. {^h.he} looked {s1} and {s2}, but there was nothing there.", "First {h.he} searched {q.at}. {^h.he} looked {s1}. {^h.he} looked {s2}. Nothing!",
          "{^h.he} {h.run} to {q} and looked {s1}. No {o.n}. {^h.he} looked {s2}. Still no {o.n}.")
    ending = t.rng.random()
    if ending < 0.4:
        t.say("There {h.he} met {k.a}.", "{^k.a} came by.", "Just then, {k.a} came along the way.")
        t.say('"Why are you so sad?" asked {k}.', '"What is the matter?" asked {k}.', '"What are you looking for?" {k} wanted to know.', '"You look worried," said {k}.')
        t.say('"I have lost my {o.n}," said {h}.', '"My {o.n} {o.is} gone," {h} [whispered|sniffed|answered].', '"I cannot find my {o.n}," said {h} sadly.')
        t.say('"Think back," said {k}. "Where did you have {o.it} last?"', '"Close your eyes and remember," said {k}. "When did you last see {o.it}?"',
              '"Then we must think," said {k}. "Where were you before?"')
        t.say("{h} thought [hard|and thought]. \"{^p.at}!\" {h.he} [cried|said]. \"I put {o.it} down {p.at}!\"", '{h} closed {h.his} eyes. "I was {p.at}," {h.he} said slowly. "That is where I last had {o.it}!"')
        t.say("Together they hurried to {p}, and there, {s3}, lay {o.the}.", "They went to {p} at once. And what lay {s3}? {^o.the}!", "{h} {h.run} to {p}. There {o.they} lay, {s3}, just where {h.he} had left {o.it}.")
        t.say('"Thank you!" {h} [cried|said] and hugged {k}.', '"Thank you, thank you!" said {h}. "I would never have found {o.it} without you."', "{h} jumped for joy and thanked {k} [again and again|three times].")
        moral(t, "From then on, {h} always looked twice before {h.he} left a place.", "Sometimes it helps to stop and think.", "And {k} got a big hug every time they met.",
              "After that day, {h} and {k} were friends.")
    elif ending < 0.7:
        t.say("Then {h.he} met {f.intro}.", "Then {f}, {h.his} best friend, came along.", "On the way {h.he} met {h.his} friend {f}, {f.a}.")
        t.say('"I will help you," said {f}. "Four eyes see more than two."', '"Do not cry," said {f}. "We will look together."', '"Let us look once more," said {f}. "I am good at finding things."')
        t.say("They looked {s4}, they looked on every path, and at last they came to {p}.", "Side by side they searched all the way to {p}.", "They walked back slowly, step by step, until they reached {p}.")
        t.say('"Look there!" [called|cried|shouted] {f} and pointed. There, {s3}, lay {o.the}.', "{f} bent down, and {s3}, {f.he} found {o.the}.")
        t.say("{h} [laughed|danced] with joy.", "{h} was so happy that {h.he} hugged {f}.", '"You are the best friend in the world," said {h}.', '"You found {o.it}!" cried {h}.')
        moral(t, "A good friend is worth more than any treasure.", "Everything is easier when you have a friend.", "They went home together, and {h} let {f} carry {o.the}.",
              "From that day on, {h} shared {o.the} with {f}.")
    else:
        t.say("Then {h.he} {h.run} to {p}, and there {h.he} stopped in surprise.", "At last {h.he} came to {p}. There {h.he} stood still.", "Only {p} was left. {h} went there with a beating heart.")
        t.say("{^s3}, a [tiny|small] [wren|dormouse|shrew] had found {o.the} and was sleeping [right beside|next to] {o.it}.", "{^s3} lay {o.the}, and next to {o.it} slept a [tiny|small|baby] [wren|dormouse|shrew].")
        t.say('"I was so cold and so alone," said the little one. "Your {o.n} made me feel safe."')
        t.say("{h} thought about it for a while.", "{h} looked at {o.the}, and then at the little one.", "{h} was not angry at all.")
        t.say('"Come home with me," {h.he} said. "We can share {o.it}."', '"You may come and see {o.it} every day," said {h}.', '"Then we will share {o.it}," said {h}, and {h.he} carried the little one home.')
        moral(t, "So {h} found {o.the} and a new friend as well.", "And from then on, {h} was never alone.", "Sharing made {o.the} even more precious.")
    return True


ANIMAL_TROUBLE = [
    ("had caught one foot between two stones", "pushed the heavier stone aside", "My foot is stuck"),
    ("was tangled in an old net", "untied the knots, one after another", "I cannot get out of this net"),
    ("was caught in a thorny bush", "bent the thorny branches back, one by one", "These thorns will not let me go"),
    ("had lost the way in the mist", "led {k} back to the right path", "I do not know where I am"),
    ("had fallen into a hole", "let down a long branch and pulled with all {h.his} strength", "I cannot climb out by myself"),
    ("was so thirsty that {k.he} could not go on", "brought fresh water in a big leaf", "I have had nothing to drink all day"),
]
HUMAN_TROUBLE = [
    ("had dropped a basket, and [apples|onions|potatoes|oranges] were rolling everywhere", "ran after them and gathered them all up", "Oh dear, my whole basket"),
    ("was looking for {k.his} glasses", "found the glasses on top of {k.his} head", "Without my glasses I cannot see a thing"),
    ("was trying to push a heavy cart out of the mud", "pushed with all {h.his} strength until the cart rolled free", "This cart is too heavy for me"),
    ("was chasing a hat that the wind had blown into a bush", "shook the bush until the hat fell down", "That is the only hat I have"),
    ("was carrying far too many parcels", "carried the biggest parcels all the way to the door", "I cannot carry all this alone"),
    ("had dropped a key through a crack in the ground", "fished the key out with a bent wire", "Without that key I cannot go home"),
]
THANKS = {True: "came back with a lamp and a warm coat|drove up in a small cart|came with a strong rope", False: "came running from far away|stood there and smiled|came out of the bushes"}


@plot(1.2)
def kindness_returned(t):
    opening(t)
    k = t.cast["k"]
    trouble, action, cry = t.pick(HUMAN_TROUBLE if k["human"] else ANIMAL_TROUBLE)
    t.cast["cry"], t.cast["trouble"], t.cast["action"] = cry, trouble, action
    t.para()
    t.say("{^day}, {h} wanted to visit {f.intro}.", "{^day}, {h} was on the way to {p}.", "{^day}, {h} was going to a picnic {p.at}, and {h.he} was already late.", "{^day}, {h} {h.go} along the road to {p}.")
    detail(t, "p", 0.25)
    encounter(t, 0.3)
    t.say("Near {q}, {h.he} met {k.a} who {trouble}.", "{^q.at}, {h.he} saw {k.a} who {trouble}.", "Not far from {q}, {h.he} heard a sigh. It was {k.a} who {trouble}.")
    t.say('"{cry}," [said|sighed|groaned] {k}. "Can you help me?"', '"Please help me," said {k}. "{cry}."', '"{cry}!" {k} [cried|called].')
    t.maybe(0.6, "{h} was in a hurry, but {h.he} stopped at once.", "{h} did not think twice.", '"Of course," said {h}.', '"Wait, I will help you," said {h}.')
    t.say("{^h.he} {action}.", "Very [gently|carefully], {h.he} {action}.", "{^h.he} took a deep breath and {action}.", "It took a long time, but {h} {action}.")
    t.say('"Thank you, {h}," said {k}. "I will not forget this."', '"How kind you are," said {k}. "If you ever need me, just call."', '"You have a good heart," said {k}. "One day I will help you too."')
    t.para()
    kind = t.rng.random()
    if kind < 0.34:
        t.say("A few days later, {h} was playing {r.at} when thick fog came down.", "The next day, {h} stayed too long {r.at}, and it grew dark.", "A week later, {h} lost the way near {r}.")
        t.say("{^h.he} could not see the path any more.", "Every [tree|corner] looked the same.", "{^h.he} turned left, {h.he} turned right, but nothing looked like the way home.")
        t.say("{^h.he} began to feel afraid.", "{^h.he} sat down and called for help.", '"Is anybody there?" {h.he} called.')
        t.say("Then {h.he} heard a voice {h.he} knew. It was {k}!", "And who came out of the dark? It was {k}!", "Just then, {k} " + ("flew down and landed beside {h.him}." if k["flies"] else "came along the path."))
        t.say('"Follow me," said {k}. "I know the way."', '"Now it is my turn to help," said {k}.', '"You helped me, and now I will help you," said {k}.')
        t.say("Together they went home, step by step.", "{k} went ahead, and soon {h} saw the lights of home.", "It was not far at all, and soon {h} was safe at home.")
    elif kind < 0.67:
        t.treasure("o", t.pick([r for r in words.TREASURE if r[0] in ("kite", "hat", "ball", "scarf", "umbrella")]))
        t.say("The next day, the wind carried {h}'s {o.n} away, high into a tree.", "Not long after that, {h}'s {o.n} got stuck in the top of a tree {r.at}.", "A few days later, {h} was playing {r.at} when {h.his} {o.n} flew up into a tall tree.")
        t.say("{h} jumped and jumped, but {h.he} could not reach {o.it}.", "{^h.he} threw a stick, but it did not help.", "{^h.he} shook the tree, but nothing moved.")
        t.say("Then {k} came by and saw it.", '"Do you need help?" someone asked. It was {k}!', "{k} heard about it and came at once.")
        t.say("With [one|two] [quick|strong] beats of {k.his} wings, {k} flew up and brought {o.it} down." if k["flies"] else
              "{k} had brought a long ladder and got {o.it} down in no time." if k["human"] else
              "{k} knew a trick. {^h} climbed on {k.his} back, stretched up high and pulled {o.it} down." if k["noun"] in ("horse", "donkey", "deer", "dog") else
              "{k} pushed and pushed against the trunk until {o.the} came tumbling down.")
    else:
        t.say("That same evening, a storm broke, and {h} was still far from home.", "On the way back, it began to rain hard.", "Later that day, dark clouds came, and a cold rain began to fall.")
        t.say("{h} was [cold and wet|wet to the skin], and {h.he} [shivered|did not know where to go].", "The wind blew so hard that {h} could [hardly|barely] walk.")
        t.say('"Come in, come in!" called a voice. It was {k}.', "A door opened, and there stood {k}." if k["human"] else "Then {h.he} heard someone call from a dry little shelter. It was {k}.")
        t.say("{k} gave {h.him} a dry place and something warm to drink.", "There was a warm corner, and {h} was soon dry again.", "{h} stayed there until the rain was over.")
    t.para()
    t.say('"Thank you," said {h}.', '"Now we are even," said {k} and [laughed|winked].', '"That is what friends are for," said {k}.')
    moral(t, "One kindness leads to another.", "Those who help others are never alone.", "And since that day, {h} and {k} have been friends.", "A good deed always comes back.")
    return True


@plot(1.2)
def sharing(t):
    opening(t)
    one, many = t.pick(words.FRUIT)
    n = 4 + int(t.rng.random() * 5)
    N = words.NUMBER
    c = t.cast
    c.update(n=N[n], many=many, one=one)
    t.para()
    t.say("{^day}, {m} gave {h} {n} {many}.", "{^day}, {h} got {n} [fresh|sweet|fine] {many} from {m}.", "{^day}, {h} had {n} {many} in {h.his} basket.", "{^day}, {h} carried home {n} {many}.")
    if t.chance(0.7):
        left = n
        for i, (place, who) in enumerate((("p", "k"), ("q", "f"))):
            give = 1 + int(t.rng.random() * 2)
            left -= give
            encounter(t, 0.2)
            c.update(give=N[give], left=N[left], gave=many if give > 1 else one, leftn=many if left > 1 else one)
            where = "{" + place + ".at}"
            if who == "k":
                t.say(f"{{^{place}.at}}, {{h.he}} met {{k.a}} who [was very hungry|had not eaten all day|looked thin and tired].",
                      f"On the way, {{h.he}} saw {{k.a}} sitting {where}, hungry and sad.", f"Near {{{place}}} sat {{k.a}}, and {{k.his}} stomach was growling.")
                t.say('"Those {many} smell so good," said {k}.', '"Could you spare something to eat?" asked {k}.', '"I have had no breakfast," said {k}.', "{k} looked at the {many} and sighed.")
            else:
                t.say(f"Then {{h}} met {{f.intro}} {where}.", f"A little later, {{h.he}} met {{h.his}} friend {{f}}, {{f.a}}, {where}.", f"{{^{place}.at}}, {{f.intro}} was waiting.")
                t.say('"What have you got there?" asked {f}.', '"I forgot my lunch at home," said {f}.', '"Oh, {many}! I love {many}," said {f}.', "{f} had nothing to eat.")
            t.say('"Here, take {give}," said {h}.', f"{{h}} gave {{{who}}} {{give}} of them.", f'"You may have {{give}}," said {{h}}, and {{h.he}} gave {{{who}}} {{give}} {{gave}}.')
            t.say("Now {h.he} had {left} {leftn} left.", f"So {{left}} {'were' if left > 1 else 'was'} left.", "That left {left} {leftn} in the basket.")
            t.maybe(0.4, f'"Thank you," said {{{who}}}.', f"{{^{who}}} [smiled|was very glad].")
        t.para()
        t.say("When {h.he} came home, {m} looked into the basket. \"Only {left}?\" {h.his} {m.noun} asked. \"I shared the others,\" said {h}.", "At home, {h} told {m} about it. \"You did the right thing,\" said {h.his} {m.noun}.",
              "{h} was a little sad to have only {left} left. But {h.he} was also proud.")
        t.say("The next morning, a surprise stood at the door. {^k} had brought [a jar of jam|a bag of nuts|a round cheese], and {f} had brought [a big cake|fresh bread|a bunch of flowers].",
              "Then there was a knock at the door. There stood {k} and {f} with [a big cake|a pot of soup|fresh bread and honey]. \"Now we share with you,\" they said.",
              "In the evening, {k} and {f} came to supper, and each of them brought something good to eat.")
        moral(t, "What you share comes back to you.", "Shared food tastes best.", "They all ate together until [everyone was full|nothing was left].", "And {h} knew that sharing makes everyone rich.")
    else:
        t.say('"These are all mine," thought {h}. "I will not share them with anybody."', "{h} did not want to share them with anyone.", "{h} wanted to keep them all.")
        t.say("{^h.he} {h.go} to {p} to eat them alone.", "{^h.he} hid {p.at}, where nobody would find {h.him}.")
        t.say("{^f.intro} came by and asked, \"May I have one?\" But {h} shook {h.his} head.", "Then came {f.intro}. \"What smells so sweet?\" asked {f}. \"Nothing,\" said {h}.")
        t.say("{h} ate one after another, until all {n} {many} were gone.", "When {f} had gone, {h} ate all {n} {many}.")
        t.say("Soon {h.his} stomach hurt, and {h.he} felt very lonely.", "But they did not taste as sweet as {h.he} had thought, and then {h.his} stomach began to ache.", "Then {h.he} had a terrible stomach ache, and nobody was there to comfort {h.him}.")
        t.para()
        t.say("The next day, {h} got three more {many}. This time {h.he} looked for {f} at once.", "On the next morning, {m} gave {h} two more {many}. {^h.he} {h.run} straight to {f}.")
        t.say('"I am sorry," {h.he} said. "Please take one."', '"I was selfish," said {h}. "Will you share these with me?"', '"Yesterday I was greedy," said {h}. "Today I want to share."')
        t.say("{f} [smiled|laughed] and took one.", '"I would love to," said {f}.', "They sat down side by side and ate.")
        moral(t, "That was the sweetest {one} {h} had ever tasted.", "Together everything tastes better.", "And {h} never ate alone again when a friend was near.")
    return True


# fear: (afraid of, what happened, advice, the deed, excluded kinds)
FEARS = [
    ("the dark", "One night, the lamp went out, and everything was black.", "The dark is only the day with its eyes closed", "looked up. There were a thousand stars, more than {h.he} had ever seen", ()),
    ("thunder", "One evening, black clouds rolled over the hills, and the thunder growled.", "Count with me after every flash, and you will hear the storm go away", "counted: one, two, three, four, five. Each time the thunder was farther away", ()),
    ("deep water", "One hot day, all the others were swimming, and only {h} stayed on the bank.", "Put one foot in, then the other, and I will stay beside you", "let go of the bank, and the water carried {h.him} like a soft bed", words.FLOATS),
    ("high places", "One day, {h} wanted to see the view from the top of the hill, but {h.his} legs shook.", "Do not look down, look at the next step", "took one step, and then another, until there were no more steps left", ()),
    ("strangers", "One day, a new family moved in next door, and {h} hid behind the curtain.", "A stranger is only a friend you have not met", "said hello in a very small voice, and the neighbours smiled and said hello too", ()),
    ("singing in front of others", "On the day of the big feast, it was {h}'s turn to sing.", "Sing only to me, and forget all the others", "looked at {f} and sang, first softly, and then louder and louder", ()),
    ("the big dog at the gate", "One day, the only way home led past the gate, and the big dog stood there.", "He barks because he is lonely", "held out a piece of bread. The dog sniffed, wagged his tail and licked {h.his} nose", ("puppy", "kitten")),
]


@plot(1.0)
def fear(t):
    fear_of, event, advice, deed, excluded = t.pick(FEARS)
    if t.cast["h"]["kind"] in excluded or (fear_of == "deep water" and (t.season != "summer" or t.cast["f"]["kind"] in ("mole", "mouse"))):
        return False
    known = t.chance(0.6)
    opening(t, alone=not known)
    t.cast.update(fear=fear_of, advice=advice, deed=deed)
    t.say("There was only one thing that {h} did not like. {^h.he} was afraid of {fear}.", "But {h} had a secret: {h.he} was afraid of {fear}.", "{h} was brave, but {h.he} was very much afraid of {fear}.", "Nobody knew that {h} was afraid of {fear}.")
    t.para()
    t.say(event)
    t.say("{^h.his} heart beat [fast|like a drum].", "{h} trembled from head to toe.", "{h} wanted to run away and hide.", "{h} closed {h.his} eyes and did not move.", "{h} felt very small.")
    friend = "{f}" if known else "{f}, {h.his} friend,"
    t.say(f"But {friend} was there. \"What is wrong?\" {{f.he}} asked.", f"{friend.replace('{f}', '{^f}')} saw it and came closer. \"Are you afraid?\" asked {{f}}.", f"Then {friend} sat down beside {{h.him}}.")
    t.say('"I am afraid of {fear}," [whispered|said|admitted] {h}.', '"Please do not laugh," said {h}. "I am afraid of {fear}."')
    t.say('{f} did not laugh. "{advice}," {f.he} said.', '"I was afraid of that too, once," said {f}. "{advice}."', '"Everybody is afraid of something," said {f}. "{advice}."')
    t.say("{h} took a deep breath.", "{h} swallowed hard.", "{h} nodded slowly.", "{h} thought about that for a moment.")
    t.say("Then {h.he} {deed}.", "And {h.he} {deed}.", "With a beating heart, {h.he} {deed}.")
    t.para()
    t.say('"I did it!" [cried|shouted|laughed] {h}.', '"It is not so bad at all," said {h} in surprise.', "{h} could hardly believe it. {^h.he} was not afraid any more.", '"Look at me!" called {h}.')
    t.say('"I knew you could do it," said {f}.', "{f} clapped and cheered.", '"Now you are the bravest {h.kind} I know," said {f}.', "{f} was proud of {h}.")
    home_again(t)
    moral(t, "To be brave is to be afraid and to try it all the same.", "With a friend at your side, every fear is half as big.", "After that, {h} was never again so afraid of {fear}.")
    return True


# guide: (clue, way home)
GUIDES = [
    ("Listen to the water", "followed the little stream down the valley", "The stream always runs past your home"),
    ("Look for the brightest star", "walked towards the brightest star", "That star stands right above your home"),
    ("Do you smell the fresh bread", "followed the smell of fresh bread", "Somebody at home is baking for you"),
    ("Do you hear the bell", "walked towards the sound of the bell", "The bell rings every evening in the place where you live"),
    ("Look at your own footprints", "followed the footprints, one by one", "They will lead you back the way you came"),
    ("Follow the white stones", "went from one white stone to the next", "They mark the old path home"),
]


@plot(1.1)
def lost_way(t):
    opening(t)
    t.para()
    lure = "a white butterfly|a striped beetle|a ball of thistledown|a blue bird|a dancing leaf|a golden butterfly|a strange tune" if t.season != "winter" else "a white hare|a strange tune|a blue bird|a shining snowflake"
    t.fix("lure", t.pick(lure))
    t.cast["lure_the"] = "the " + t.cast["lure"].split(" ", 1)[1]
    clue, way, why = t.pick(GUIDES)
    t.cast.update(clue=clue, way=way, why=why, mark="?" if clue.startswith("Do") else ".")
    t.say("{^day}, {h} [noticed|found] {lure} near {p} and followed it.", "{^day}, {h} was playing {p.at} when {lure} came by. {^h.he} ran after it at once.", "{^day}, {h} noticed something {p.at}. It was {lure}, and {h.he} followed it.")
    t.maybe(0.5, '"Do not go too far," {m} had said. But {h} forgot all about it.', "It went left and right and always a little farther on.")
    t.say("On and on {h.he} went, past {q}, and farther than {h.he} had ever been.", "It led {h.him} past {q} and over a hill and into a place {h.he} did not know.", "{^h.he} went past {q}, and past {r}, and did not look back.")
    t.say("Then {lure_the} was gone, and {h} was all alone.", "When {h} stopped at last, {h.he} did not know where {h.he} was.", "Suddenly {lure_the} was gone. {h} looked around. Nothing looked familiar.")
    t.para()
    t.say(*words.EVENINGS[:2], "The sun was going down.", "It was getting dark.", "The shadows grew long.", "A cold wind blew, and the light was fading.")
    t.say('"I want to go home," [whispered|sobbed|said] {h}.', "{h} sat down on a stone and began to cry.", "{h} tried not to cry, but a tear rolled down {h.his} nose.", '"Hello?" called {h}. But only the wind answered.')
    t.say("\"Who is crying there?\" asked a voice. It was {k.a}.", "Then something rustled, and {k.a} stood in front of {h.him}.", "{^k.a} heard it and came closer.")
    t.say('"I am lost," said {h}.', '"I do not know the way home," said {h}.', '"Can you tell me the way home?" asked {h}.')
    t.say('"Do not be afraid," said {k}. "{clue}{mark} {why}."', '"That is not hard," said {k}. "{clue}{mark} {why}."', '{k} [smiled|nodded]. "{clue}{mark} {why}."')
    t.say("So {h} {way}, and {k} came along for a while.", "{h} thanked {k} and {way}.", "{h} dried {h.his} tears and {way}.")
    t.maybe(0.5, "First {h.he} came to {q}. Then {h.he} saw {p}. Now {h.he} knew the way!", "Soon {h.he} saw {p}, and {h.his} heart grew light.")
    t.para()
    t.say("{^m} stood at the door and opened both arms wide.", "At the door stood {m} with a lantern.", "{^m} had been looking for {h.him} everywhere.")
    t.say('"There you are!" {h.his} {m.noun} cried and hugged {h.him} [tight|for a long time].', '"I was so worried," said {h.his} {m.noun}.', "There was warm soup and a soft blanket, and everything was good again.")
    t.maybe(0.6, '"Next time I will stay on the path," said {h}.', '"I will never run off again without telling you," said {h}.', '"I am sorry, {m.call}," said {h}. "I went too far."')
    moral(t, "And {h} kept that promise.", "Home had never felt so good.", "It is fine to be curious, but it is wise to remember the way back.", "And through the window, far away, {h} heard {k} call good night.")
    return True


@plot(1.2)
def making(t):
    name, parts, work, sense = t.pick([d for d in words.DISH if t.season != "winter" or not ("daisies" in d[1] or "berries" in d[1])])
    opening(t)
    c = t.cast
    a, b, d = parts.split("|")
    c.update(dish=name, a=a, b=b, d=d, work=work, sense=sense)
    t.para()
    why = t.pick("birthday|gift|idea|feast")
    if why == "birthday":
        t.say("{^day}, {h} remembered that it was {m}'s birthday. \"I will make a {dish},\" {h.he} [said|decided].", "The birthday of {m} was near, and {h} had no present. \"I know what to do,\" {h.he} thought. \"I will make a {dish}.\"")
    elif why == "gift":
        t.say("{^day}, {h} heard that {f.intro} was ill in bed. \"I will make a {dish} to cheer {f.him} up,\" {h.he} said.", "{^day}, {h} wanted to surprise {f.intro}. \"A {dish}!\" {h.he} thought. \"That is just the thing.\"")
    elif why == "idea":
        t.say("{^day}, {h} had a fine idea. {^h.he} wanted to make a {dish}.", '{^day}, {h} was bored. "I could make a {dish}," {h.he} thought.', "{^day}, {h} said, \"Today I will make a {dish}, all by myself.\"")
    else:
        t.say("Soon there would be a big feast, and everyone was to bring something. {h} decided to make a {dish}.", '{^day}, everyone was getting ready for the {season} feast. "I will bring a {dish}," said {h}.')
    t.say("For that {h.he} needed three things: {a}, {b} and {d}.", '"I need {a}, {b} and {d}," {h.he} said.', "But there was nothing in the house. {^h.he} needed {a}, {b} and {d}.")
    t.para()
    others = [x for x in t.helpers if words.HELPER[x][1] != c["k"]["noun"]]
    keys = t.rng.sample(others, 2)
    t.helper("k2", keys[0])
    t.helper("k3", keys[1])
    deal = t.rng.sample(["swept the floor", "sang a song", "told a funny story", "watered the flowers", "carried some wood", "washed the windows", "counted all the baskets"], 3)
    for i, (place, k, part) in enumerate((("p", "k", "a"), ("q", "k2", "b"), ("r", "k3", "d"))):
        encounter(t, 0.12 if i else 0)
        c["deal"] = deal[i]
        first = ("First", "Then", "Last of all")[i]
        t.say(f"{first} {{h.he}} went to {{{place}}}, where {{{k}.a}} gave {{h.him}} {{{part}}}.",
              f"{first} {{h.he}} {{h.go}} to {{{place}}}. {{^{k}.a}} was there. {{h}} {{deal}}, and for that {{h.he}} got {{{part}}}.",
              f"{('', 'After that, ', 'In the end, ')[i]}{{h.he}} met {{{k}.a}} {{{place}.at}}. \"You may have {{{part}}},\" said {{{k}}}, \"[with pleasure|but bring me a taste|if you tell me what it is for].\"",
              f"{{^{place}.at}}, {{{k}.a}} was happy to give {{h.him}} {{{part}}}.")
    t.para()
    t.say("At home, {h} set to work. {^h.he} {work}.", "Then {h.he} {work}.", "{h} hurried home, rolled up {h.his} sleeves and began. {^h.he} {work}.", "Now {h.he} had everything. {^h.he} {work}.")
    t.maybe(0.4, "It was not easy, and twice {h.he} had to start again.", "{^h.his} face was [red|hot] from the heat of the stove, but {h.he} did not mind." if sense == "smelled" else "It took the whole afternoon, but {h.he} did not give up.", "{m} only watched and smiled.")
    t.say("When the {dish} was ready, it {sense} [wonderful|very good|better than any other].", "At last the {dish} was done, and it {sense} [lovely|wonderful|just right].")
    if why == "birthday":
        t.say('"Happy birthday, {m.call}!" cried {h}.', "{^m} was so happy that {h} felt warm inside.", '"Did you make this all by yourself?" asked {h.his} {m.noun}. "Not all by myself," said {h}. "Many friends helped me."')
    elif why == "gift":
        t.say("{h} carried it to {f}. \"Is that for me?\" asked {f}, and {f.his} eyes shone.", "When {f} saw it, {f.he} forgot all about being sad.", '"You made this for me?" said {f}. "Thank you, {h}!"')
    else:
        t.say("{h} called {k}, {k2} and {k3}, and they all [admired|praised] it.", "Everyone who had helped came to see it.", "{h} invited everyone who had helped.")
        t.say('"This is the best {dish} I have ever seen," said {k}.', '"Well done, {h}!" they all said.', "They clapped and cheered for {h}.")
    moral(t, "Many small gifts can make one big one.", "What is made with love is always good.", "And the next day, {h} was already thinking of something new to make.", "It is good to have many friends.")
    return True


@plot(0.9)
def race(t):
    if t.cast["h"]["kind"] == t.cast["f"]["kind"]:
        return False
    opening(t)
    c = t.cast
    t.fix("prize", "[a golden cup|a basket of [apples|plums|nuts|oranges]|a blue ribbon|a silver medal|a big [cake|balloon|cheese]]")
    t.para()
    t.say("{^day}, there was to be a race from {p} to {q}. The prize was {prize}.", "{^day}, {k} announced a race. \"From {p} to {q},\" said {k}. \"The winner gets {prize}.\"", "Every {season}, there was a great race from {p} to {q}, and the winner got {prize}.")
    t.say('"I will win, of course," said {f.intro}. "Nobody is as fast as I am."', "{^f.intro} laughed at {h}. \"You will never win,\" {f.he} said.", '"You are much too slow, {h}," said {f.intro}.', "{^f.intro} was the fastest of all, and {f.he} told everybody so.")
    t.say("{h} said nothing.", '"We will see," said {h} quietly.', '"I will do my best," said {h}.', "{h} only smiled.")
    t.say('"Ready, steady, go!" cried {k}, and off they went.', '"One, two, three, go!" called {k}.', "{k} gave the sign, and the race began.")
    t.say("{f} {f.run} ahead, and soon {f.he} was out of sight.", "Soon {f} was far in front.", "At first {f} was much faster.")
    t.para()
    if t.chance(0.5):
        t.say("{^r.at}, {f} stopped. \"I have so much time,\" {f.he} thought, and {f.he} [lay down to sleep|sat down to rest|began to pick berries|admired {f.himself} in a puddle].", "Half way, {f} looked back and saw nobody. \"I can take a little nap,\" {f.he} said, and {f.he} fell asleep {r.at}.")
        t.say("But {h} went on and on, step by step.", "{h} did not stop once. {^h.he} kept on going, slow and steady.", "Meanwhile {h} came along, step by step, and passed {f.him} without a sound.")
        t.say("When {f} looked up, {h} was almost at the goal.", "When {f} noticed it, it was too late.")
        t.say("{f} {f.run} faster than ever, but {h} was there first.", "Everybody cheered when {h} reached {q} first.", "{h} crossed the line, just one step ahead of {f}.")
        t.para()
        t.say("{h} won {prize}, and {h.he} shared it with {f}." if not c["prize"].endswith(("cup", "ribbon", "medal")) else "{h} won {prize}, and everyone cheered.", "So {prize} went to {h}.")
        t.say('"You were better than I thought," said {f}. "I am sorry that I laughed."', '"I will never laugh at you again," said {f}.', "{f} was ashamed, but {h} gave {f.him} a friendly hug.")
        moral(t, "Slow and steady wins the race.", "It is better to keep going than to boast.", "From that day on, {f} never boasted again.")
    else:
        t.say("But {r.at}, {f} stumbled and fell.", "Then, {r.at}, {f} slipped and hurt {f.his} [foot|knee|leg].", "But near {r}, {f} did not look where {f.he} was going, and {f.he} fell into a ditch.")
        t.say("{h} came along and saw {f.him} lying there. {^h.he} could have won the race now. But {h.he} stopped.", "Soon {h} came by. \"Now I could win,\" {h.he} thought. But {h.he} did not run on.")
        t.say('"Does it hurt?" {h.he} asked. "Lean on me."', '"Come, I will help you," said {h}.', '"I will not leave you here alone," said {h}.')
        t.say("Slowly they went on together, side by side.", "{f} leaned on {h}, and they went on together, one step at a time.")
        t.say("They were the last to arrive {q.at}, but everyone clapped for them.", "All the others were already {q.at} when the two arrived, and they cheered louder than ever.")
        t.para()
        t.say('"The prize goes to {h}," said {k}, "because a kind heart is worth more than fast feet."', '{k} gave {h} {prize}. "You have won something bigger than a race," said {k}.', '"I have seen what you did," said {k}, and {h} got {prize}.')
        t.say('"Thank you, {h}," said {f} softly. "You are a true friend."', "{f} clapped loudest of all.", '"I was wrong to laugh," said {f}.')
        moral(t, "To help a friend is better than to win.", "And the two of them never raced against each other again, only side by side.")
    return True


@plot(0.9)
def storm(t):
    opening(t)
    t.para()
    word = "snowstorm" if t.season == "winter" else "storm"
    t.cast["storm"] = word
    t.say("{^day}, dark clouds came over the hills." if t.season != "winter" else "{^day}, thick grey clouds came over the hills.", "{^day}, the wind began to howl, and the sky turned [black|dark grey].", "{^day}, a great {storm} was coming. Even the birds were silent.")
    t.say("{h} shut the windows and [lit a candle|made a fire|put the kettle on].", "{h} {h.run} home just in time and closed the door.", "{h} was glad to be warm and dry at home.")
    t.say("Outside the wind roared and the [rain|hail] beat down." if word == "storm" else "Outside the snow fell and fell, until the path was gone.", "The {storm} shook the whole house.")
    t.para()
    others = t.rng.sample(t.helpers, 2)
    t.helper("k", others[0])
    t.helper("k2", others[1])
    t.say("Then somebody knocked at the door. It was {f.intro}. \"May I come in?\" {f.he} asked. \"I am so [cold|wet].\"", "Knock, knock! {^f.intro} stood outside, shivering. \"Please let me in,\" said {f}.")
    t.say('"Of course," said {h}. "Sit down [by the fire|here where it is warm]."', '"Come in quickly," said {h}.', "{h} gave {f.him} a blanket.")
    t.say("Soon there was another knock. It was {k.a}. \"Is there room for me?\" asked {k}.", "Hardly had they sat down when {k.a} came to the door, wet and tired.")
    t.say('"There is always room for one more," said {h}.', '"Come in, we will move closer together," said {h}.')
    t.say("And then came {k2.a} too.", "The third to knock was {k2.a}.", "At last {k2.a} stood at the door, hungry and cold.")
    t.say("It was very crowded now. {f} sat almost in the soup, and nobody could turn around.", "The house was full, from wall to wall.", "There was hardly any room left, but nobody complained.")
    t.say("{h} shared {h.his} supper with all of them, and {f} told a story.", "{k} sang a song, {k2} told jokes, and {h} made hot [soup|tea|milk] for everyone.", "They ate bread and soup, and {f} told the longest story {f.he} knew.")
    t.para()
    t.say("In the morning, the {storm} was over, and {sky}.", "When they woke up, the sun was shining.", "At dawn it was quiet, and a [rosy|golden] light filled the sky.")
    t.say("But the roof of {h}'s house had a big hole. \"Do not worry,\" said {k}. \"We will mend it together.\"", "Then they saw that the {storm} had broken {h}'s fence. \"You helped us, and now we help you,\" said {k2}.", "They all helped {h} to clear the path and to sweep the yard.")
    t.say("By noon, everything was as good as new.", "With so many friends, the work was soon done.", "They worked and laughed, and soon it was all done.")
    moral(t, "A small house with many friends is better than an empty palace.", "There is always room for a friend.", "And ever since, they meet at {h}'s house when the wind blows.")
    return True


@plot(0.9)
def surprise(t):
    opening(t, alone=False)
    t.para()
    t.cast["day"] = t.cast["day"].replace("one day", "one {weather} {tod}")
    t.say("{^day}, {h} woke up and jumped out of bed. It was {h.his} birthday!", "This was no ordinary day. It was {h}'s birthday!", "At last the great day had come. {h} had a birthday!")
    t.say("But nobody said anything about it.", "{^h.he} waited for someone to say happy birthday. Nobody did.", "At breakfast, {m} only said, \"Eat your porridge.\"")
    t.say("{^h.he} went to {p}, where {h.he} met {f}. \"Do you know what day it is?\" asked {h}. \"Of course,\" said {f}. \"It is [Monday|Tuesday|Thursday|Friday].\" And {f.he} hurried away.", "{h} met {f} {p.at}. But {f} said, \"I am sorry, I have no time today,\" and hurried off.")
    t.say("Then {h.he} met {k.a} {q.at}. \"Good morning,\" said {k}, and that was all.", "{^q.at}, {h.he} saw {k.a} with a big parcel. \"What is that?\" asked {h}. \"Nothing at all,\" said {k} and hid it.")
    t.say("{h} grew sadder and sadder.", '"They have all forgotten me," thought {h}.', "{h} sat down and hung {h.his} head.")
    t.para()
    t.say("In the evening, {h} {h.go} slowly home. The house was dark.", "When the sun went down, {h.he} went home. There was no light in the window.", "At last {h.he} went home. It was strangely quiet there.")
    t.say('{^h.he} opened the door, and suddenly all the lights went on. "Surprise!" everybody shouted.', '"Happy birthday!" cried many voices when {h.he} opened the door.', '{^h.he} pushed the door open. "Surprise!" they all called. "Happy birthday, {h}!"')
    t.say("There were {f} and {k} and {m}, and on the table stood a cake with [five|six|seven|eight] candles.", "{f} was there, {k} was there, and {m} brought in a huge [chocolate|strawberry|apple] cake.", "Paper lanterns hung from the ceiling, and {m} carried in a big cake.")
    t.say("{f} gave {h.him} {o.a}.", "From {f}, {h.he} got {o.a}, and {k} had brought [a pot of honey|a bag of sweets|a bunch of balloons].", "In the big parcel was {o.a}, from all of them together.")
    t.say('"I thought you had all forgotten me," said {h}.', '"So that is why you had no time!" laughed {h}.', "{h} did not know what to say. {^h.he} laughed and cried at the same time.")
    t.say('"How could we ever forget you?" said {f}.', '"It was so hard to keep it secret," said {f}.', "{f} laughed and hugged {h.him}.")
    moral(t, "They sang and danced until the moon was high.", "It was the best birthday of all.", "True friends never forget you.", "{h} blew out all the candles in one breath, and the wish is still a secret.")
    return True


@plot(1.0)
def newcomer(t):
    opening(t)
    c = t.cast
    t.para()
    t.say("{^day}, somebody new came to live there. It was {f.intro}.", "{^day}, {f.intro} moved into the empty house [next door|near {p}|by {q}].", "{^day}, {h} saw someone new {p.at}. It was {f.intro}, and {f.he} was all alone.")
    t.say("{f} was very shy and did not talk to anyone.", "{f} [sat by {f.himself}|stood alone] and looked at the ground.", "Nobody played with {f}, because nobody knew {f.him}.", "{f} came from far away and knew nobody here.")
    t.say("Some of the others whispered. \"{^f.he} looks so different,\" they said.", "The others only stared at {f.him}.", "The others said, \"We do not know {f.him}. Let us go.\"")
    detail(t, "p", 0.2)
    t.say("But {h} felt sorry for {f}.", "{h} remembered how it feels to be alone.", '"It must be hard to be new," thought {h}.')
    t.para()
    t.say('{^h.he} went over and said, "Hello, I am {h}. Would you like to see {q}?"', '"Hello," said {h}. "Do you want to play with me?"', '{h} held out {h.his} {h.hand}. "I am {h}," {h.he} said. "Come, I will show you around."', '"Hello, I am {h}," {h.he} said. "We are playing {game}. Do you want to join us?"')
    t.say('At first {f} said nothing. Then {f.he} nodded.', '"Yes, please," [whispered|said] {f}.', "{f} looked up and gave a tiny smile.")
    t.say("{h} showed {f.him} {p} and {q} and all the best places to hide.", "Together they went to {q}, and {h} showed {f.him} everything.", "They walked to {q} and talked all the way.")
    gift = t.pick([("knew the funniest games", "taught them all a new game"), ("could tell wonderful stories", "told a story about a far land"), ("could whistle like a bird", "whistled a tune that made everyone dance"),
                   ("was good at building things", "built a tower as tall as a tree"), ("knew the names of all the stars", "showed them a bear and a ship made of stars"), ("could draw beautiful pictures", "drew a picture of every one of them")])
    c.update(gift=gift[0], gifted=gift[1])
    t.say("Soon {h} found out that {f} {gift}.", "And what a surprise! {f} {gift}.", "It turned out that {f} {gift}.")
    t.say("The next day, {f} {gifted}, and all the others came to [join in|watch and listen].", "When the others came by, {f} {gifted}. Now nobody wanted to leave.")
    t.say('"We are sorry that we were so silly," said the others.', '"May we play with you?" asked the others.', "The others asked {f.him} to come again the next day.")
    t.para()
    t.say('"Thank you for asking me," said {f} to {h}.', '"You were the first to say hello," said {f}.', "{f} was not shy any more.")
    moral(t, "And so {h} had found a new friend.", "A kind word can open any door.", "A stranger is a friend you do not know yet.", "From then on, {h} and {f} met every day.")
    return True
