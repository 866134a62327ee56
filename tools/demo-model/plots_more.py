"""Plots of the tale generator, second part; plots.py says how a plot is written."""

import words
from plots import detail, encounter, evening, go, moral, opening, plot, spot

SEEDS = [("sunflower", "a golden sunflower"), ("rose", "a red rose"), ("pumpkin", "a huge orange pumpkin"), ("bean", "a long green bean plant"), ("tulip", "a bright red tulip"),
         ("apple tree", "a tiny apple tree"), ("strawberry", "a plant full of sweet strawberries"), ("bluebell", "a whole row of bluebells"), ("poppy", "a scarlet poppy")]


@plot(2.5)
def seed(t):
    if t.season != "spring":
        return False
    opening(t)
    what, grown = t.pick(SEEDS)
    c = t.cast
    c.update(what=what, grown=grown)
    t.para()
    t.say("{^day}, {m} gave {h} a [tiny|small|brown] seed.", "{^day}, {h} found a [tiny|small|brown] seed {p.at}.", "{^day}, {k.a} gave {h} a [tiny|small|brown] seed.")
    t.say('"What will it be?" asked {h}. "Wait and see," was the answer.', '"It looks like nothing at all," said {h}.', '"So small!" said {h}. "Can anything come out of that?"')
    t.say("{h} dug a little hole, put the seed in and covered it with earth.", "{^h.he} planted it in a [pot|sunny corner] and watered it.", "{^h.he} made a bed of soft earth and laid the seed in it.")
    t.para()
    t.say("The next day, {h} looked. Nothing. On the day after that, {h.he} looked again. Still nothing.", "Every morning {h.he} went to look, but there was only brown earth.", "One day went by, and two, and three, and nothing happened.")
    t.say('"It does not want to grow," said {h}.', '"Maybe it is asleep," {h} said.', '"I think I did something wrong," sighed {h}.')
    t.say('"Be patient," said {h.his} {m.noun}. "Good things take time."', '"You cannot pull a plant out of the earth," said {m}. "You must wait."', '{^f.intro} came by. "Sing to it," said {f}. "Plants like songs."')
    t.say("So {h} watered it every day and waited.", "{h} gave it water, pulled out the weeds and hummed a little song.", "{h} told the seed a story every evening.")
    t.say("It rained, and the sun shone, and it rained again.", "Days passed, and then weeks.", "The sun shone, the rain fell, and {h} waited.")
    t.say("Then, one [morning|bright morning], a tiny green tip looked out of the earth!", "And one day, there it was: a small green leaf!", "At last a thin green stem pushed its head into the light.")
    t.say('"It is growing!" {h} [shouted|cried] and danced around it.', "{h} called everyone to come and see.", "{h} was so happy that {h.he} hugged {m}.")
    t.say("It grew and grew, first as high as {h.his} knee, and then even taller.", "It grew a little every day.", "Leaf after leaf came out.")
    t.say("By summer, it had become {grown}.", "And when summer came, there stood {grown}.", "In summer, everyone could see {grown}.")
    t.say("{h} gave the first new seeds to {h.his} friend {f}, so that {f.he} could plant some too.", "Everyone who came by stopped to look at it.", "The bees came to visit it every day.")
    moral(t, '"You were right," said {h} to {m}. "It was worth the wait."', "Good things need time, and a little love.", "And in autumn, {h} kept one seed for the next spring.", "Since then, {h} knows that even the smallest thing can become great.")


@plot(1.0)
def broken(t):
    opening(t)
    c = t.cast
    thing, where = t.pick([("vase", "on the table"), ("blue jug", "on the shelf"), ("teapot", "in the kitchen"), ("window", "in the shed"), ("mirror", "in the hall"), ("flower pot", "on the window sill"), ("painted plate", "on the wall"), ("glass bowl", "beside the bread")])
    c.update(thing=thing, where_at=where)
    t.para()
    t.say("{^m} had a {thing} that {m.he} loved very much. It was {where_at}." if thing != "window" else "There was a little window in the shed that {m} had made.", "The {thing} {where_at} belonged to {m}.")
    t.say("{^day}, {h} played ball in the house, although that was not allowed.", "{^day}, {h} ran through the house like the wind.", "{^day}, {h} was at home alone and danced around the room.") if thing != "window" else t.say("{^day}, {h} threw a ball too high.", "{^day}, {h} played ball much too close to the shed.")
    t.say("Crash! The {thing} broke into [a hundred|many] pieces.", "Then came a terrible crash. The {thing} was broken.", "There was a loud crash, and then it was very quiet. The {thing} lay in pieces.")
    t.say("{h} turned pale.", '"Oh no," whispered {h}. "What have I done?"', "{h} stood there and did not dare to breathe.")
    t.say("Quickly {h.he} swept up the pieces and hid them under the bed.", "{^h.he} hid the pieces in a box and told nobody.", "{^h.he} ran away and hid {p.at}.")
    t.para()
    t.say('In the evening, {m} asked, "Who broke my {thing}?"', '"Where is my {thing}?" asked {m} at supper.', "When {m} came home, {m.he} saw it at once. \"What happened here?\" {h.his} {m.noun} asked.")
    lie = t.chance(0.6)
    if lie:
        t.say('"It was the wind," said {h} and looked away.', '"Maybe it was the cat," said {h} quickly.', '"I do not know," said {h} in a small voice.')
        t.say("But that night, {h} could not sleep.", "But the lie sat in {h.his} stomach like a stone.", "From that moment, nothing was fun any more. Even the soup tasted of nothing.")
        t.maybe(0.5, "{^h.he} told {f.intro} about it. \"You should tell the truth,\" said {f}. \"It will feel better.\"", "{^h.he} turned left and {h.he} turned right, but the lie was always there.")
        t.say("In the morning, {h} went to {m}.", "At last {h.he} got up and went to {m}.", "The next day, {h} took a deep breath and went to {m}.")
    else:
        t.say("{h} wanted to say that it was the wind. But {h.he} did not.", "{h}'s face grew hot.", "{h} looked down at {h.his} own {h.hands}.")
    t.say('"It was me," {h.he} said. "I broke the {thing}. I am so sorry."', '"I must tell you something," said {h}. "I broke your {thing}."', '"I did it," {h.he} said, and the tears came. "I did not want to make you sad."')
    t.say("{^m} was quiet for a moment. Then {m.he} hugged {h.him}.", "{^m} looked at {h.him} for a long time, and then {m.he} smiled.")
    t.say('"A {thing} can be mended," said {h.his} {m.noun}. "But I am glad that you told me the truth."', '"Thank you for telling me," said {m}. "That was brave."', '"Things can break," said {m}. "The truth is more important than a {thing}."')
    t.say("Together they glued the pieces, one by one.", "The next day, they made a new one together.", "{h} helped in the house for a whole week to make up for it.") if thing != "window" else t.say("Together they put in a new pane of glass.", "{h} helped {m} to mend it.")
    moral(t, "It was not as beautiful as before, but {h} liked it even better." if thing != "window" else "Through the new glass, the sun shone even brighter.", "And {h}'s heart was as light as a feather again.", "A true word is sometimes hard, but it makes the heart light.", "That night, {h} slept deeply and well.")


WISHES = [
    ("to be as big as a house", "grew and grew until {h.he} bumped against the clouds", "But {h.he} could not go through {h.his} own door any more, and all the others ran away from {h.him}"),
    ("to be able to fly", "rose into the air, higher and higher", "But it was cold up there, and no one was there to talk to"),
    ("for all the sweets in the world", "was sitting on a mountain of sweets", "But after a while {h.his} stomach hurt, and {h.he} wanted nothing but a piece of bread"),
    ("that it would never be night again", "saw the sun stand still in the sky", "But nobody could sleep, and the owls and the stars were gone"),
    ("that {h.he} would never have to work again", "saw the broom sweep and the spoon stir all by themselves", "But soon {h.he} was so bored that {h.he} counted the boards in the floor"),
    ("that everything {h.he} touched would turn to gold", "touched a stone, and it was gold", "But the bread turned to gold too, and the flowers lost their smell"),
    ("to be invisible", "looked down and could not see {h.his} own {h.hands}", "But nobody could see {h.him}, and nobody said hello"),
]


@plot(1.0)
def wish(t):
    opening(t)
    c = t.cast
    want, happened, price = t.pick(WISHES)
    c.update(want=want, happened=happened, price=price)
    c["magic"] = t.pick("an old lamp|a strange shell|a golden key|a shining stone|a little bottle|a silver coin|a tiny bell")
    c["giver"] = t.pick("a tiny fairy|a little old woman in a green coat|a golden fish|a small star|a friendly ghost no bigger than a thumb|a talking beetle")
    c["magic_the"] = "the " + c["magic"].split(" ", 1)[1]
    spot(t, "s1", "p")
    t.para()
    t.say("{^day}, {h} found {magic} {p.at}. It lay {s1}.", "{^day}, something glittered near {p}, {s1}. It was {magic}.", "{^day}, {h} went to {p}. There, {s1}, {h.he} found {magic}.")
    detail(t, "p", 0.3)
    t.say("{^h.he} rubbed it clean, and suddenly {giver} appeared.", "When {h.he} picked it up, there was a flash of light, and {giver} was before {h.him}.", "{h} touched it, and a voice said, \"Hello.\" It was {giver}.")
    t.say('"You may make one wish," said the voice. "But think well."', '"You have set me free," said the voice. "Make a wish!"', '"One wish is yours," said the voice. "Choose wisely."')
    t.say("{h} did not think long. {^h.he} wished {want}.", '"I know what I want," said {h}, and {h.he} wished {want}.', "{h} thought for only a moment. Then {h.he} wished {want}.")
    t.say("And at once {h.he} {happened}.", "There was a sound like a hundred bells, and {h} {happened}.", "One, two, three, and {h} {happened}.")
    t.say("At first it was wonderful.", "{h} laughed for joy.", '"Hooray!" cried {h}.')
    t.para()
    t.say("{price}.")
    t.say('"What good is it," {h} thought, "if I am so alone?"', "{h} began to miss {f.intro}, {h.his} best friend.", "{h} sat down and sighed.", '"This is not what I wanted," said {h}.')
    t.say('"Please take my wish back," {h.he} begged.', "{^h.he} took {magic_the} and asked for everything to be as before.", '"I wish that everything were as it was," {h.he} said softly.')
    t.say('"That is the wisest wish of all," said the voice.', '"Now you have understood," said the voice with a laugh.', "There was another flash of light.")
    t.say("And then all was as it had been.", "In the blink of an eye, everything was as before.", "{h} rubbed {h.his} eyes. Everything was as it used to be.")
    t.say("{h} {h.run} home to {m}.", "{^m} called {h.him} to supper, and {h.he} had never been so glad.", "{h} {h.run} straight to {f.intro}, and they played until the stars came out.") if "{f.intro}" not in str(t.told) else t.say("{h} hurried home.", "{h} hurried to {f}, and they played until the stars came out.")
    moral(t, "From then on, {h} was happy with what {h.he} had.", "The best things cannot be wished for. They are already there.", "And what became of {magic_the}? Nobody knows.", "Be careful what you wish for.")


@plot(0.8)
def trade(t):
    opening(t)
    c = t.cast
    chain = t.pick([("a red button", "a ball of wool", "a warm scarf", "a sack of corn"), ("a smooth white stone", "a brown egg", "a fresh cake", "a little wooden boat"),
                    ("a bunch of flowers", "a jar of honey", "a wooden spoon", "a silver flute"), ("a shiny feather", "a straw hat", "a basket of plums", "a book full of stories"),
                    ("a ripe apple", "a piece of rope", "a small lantern", "a blue kite"), ("a pine cone", "a wooden top", "a bag of nuts", "a soft blanket")])
    c.update(a=chain[0], b=chain[1], d=chain[2], e=chain[3])
    c.update({x + "_the": "the " + c[x].split(" ", 1)[1] for x in "abd"})
    keys = t.rng.sample(t.helpers, 3)
    for letter, key in zip(("k", "k2", "k3"), keys):
        t.helper(letter, key)
    t.para()
    t.say("{h} wished for {e}, but {h.he} had no money.", "More than anything, {h} wanted to have {e}. But {h.he} had not a single coin.", "Soon it would be the birthday of {f.intro}, and {h} wanted to give {f.him} {e}. But all {h.he} had was {a}.")
    t.say("{^day}, {h} found {a} {p.at}.", "All {h.he} had was {a}. {^day}, {h.he} put it in {h.his} bag and set out.", "{^day}, {h.he} took {a} and set out to {p}.")
    t.para()
    why = {"k": t.pick("just what I was looking for|the very thing I need today|so beautiful"), "k2": t.pick("what I have wanted all week|just right for me|exactly what is missing in my house"), "k3": t.pick("lovely|perfect|what I need for the winter")}
    c.update(w1=why["k"], w2=why["k2"], w3=why["k3"])
    t.say('{^p.at}, {h.he} met {k.a}. "{^a} is {w1}," said {k}. "I will give you {b} for it."', 'First came {k.a}. "Give me {a_the}," said {k}, "and I will give you {b}."', "{^k.a} saw {a_the} and wanted it. \"Shall we trade?\" asked {k}. So {h} gave away {a_the} and got {b}.")
    t.say('A little farther on, {h.he} met {k2.a}. "{^b}!" cried {k2}. "That is {w2}. Take {d} for it."', "{^q.at} sat {k2.a}, who needed {b}. {h} gave {k2} {b_the}, and {k2} gave {h.him} {d}.", 'Then {k2.a} came by. "I would give {d} for {b_the}," said {k2}. {h} agreed.')
    t.say('Near {r}, {k3.a} looked at {d_the}. "That is {w3}," said {k3}. "All I can give you is {e}." {h} could not believe it.', "In the end, {h.he} met {k3.a}, who was looking at {d_the}. \"I will give you {e} for it,\" said {k3}. {h} jumped for joy.", "Last of all, {h.he} came to {r}. {^k3.a} was there, and {k3} had {e}. \"I will trade it for {d_the},\" said {k3}.")
    t.para()
    t.say("So {a} had become {b}, {b} had become {d}, and {d} had become {e}.", "{h} had gone out with {a} and came home with {e}.", "{h} laughed all the way home. First {a}, and now {e}!")
    t.say("At home, {h} showed it to {m}.", '"Where did you get that?" asked {m}.', "{^m} could hardly believe the story.")
    moral(t, "Everyone had got what they needed, and that was the best of it.", "What is small for one may be great for another.", "And somewhere, {k} was just as happy with {a_the}.", "A good trade makes both sides smile.")


# skill: (to learn, first failure, last success, kinds that know it already)
SKILLS = [
    ("whistle", "only air came out", "a clear, bright whistle rang out", ()),
    ("swim", "{h.he} swallowed a lot of water", "{h.he} swam from one bank to the other", words.FLOATS | {"mouse", "field mouse", "mole"}),
    ("skip with a rope", "the rope caught {h.his} feet", "the rope flew around ten times without a stop", ()),
    ("climb the tall tree", "{h.he} slid down again", "{h.he} sat on the highest branch and could see the whole land", words.FLOATS | {"squirrel", "kitten", "pony", "lamb", "piglet"}),
    ("fly a kite", "the kite fell down like a stone", "the kite rose up until it was only a dot in the sky", ()),
    ("juggle", "all the balls fell down", "three balls danced in the air", ("duckling", "turtle")),
    ("play the drum", "it sounded like a falling cupboard", "it sounded like rain, and then like thunder", ()),
    ("bake bread", "the bread was as hard as a stone", "the bread was round and brown and soft", ("duckling", "turtle", "frog")),
    ("skate", "{h.he} sat down hard on the ice", "{h.he} glided over the ice like a swan", ("duckling", "turtle")),
    ("dance", "{h.he} tripped over {h.his} own feet", "{h.he} turned and leapt as light as a leaf", ()),
    ("write {h.his} own name", "the letters fell over like tired sheep", "the name stood there, clear and straight", ()),
    ("stand on one leg", "{h.he} fell over", "{h.he} stood still until somebody counted to a hundred", ()),
]


@plot(1.0)
def skill(t):
    name, fail, success, excluded = t.pick(SKILLS)
    if t.cast["h"]["kind"] in excluded or {"skate": "winter", "swim": "summer"}.get(name, t.season) != t.season:
        return False
    opening(t)
    c = t.cast
    c.update(skill=name, fail=fail, success=success)
    t.para()
    t.say("{h} wanted to learn to {skill}.", "There was one thing {h} could not do. {^h.he} could not {skill}.", "All the others could {skill}. Only {h} could not.", '{^day}, {h} said, "I want to learn to {skill}."')
    t.say("{^h.he} tried it, but {fail}.", "The first time {h.he} tried, {fail}.", "{^h.he} tried once, and {fail}. {^h.he} tried again, and it was the same.")
    t.say('"I will never learn it," {h} said [sadly|angrily].', '"It is too hard," sighed {h}.', "Some of the others laughed, and {h} went away with {h.his} head down.", '"I give up," said {h}.')
    t.para()
    t.say("{^k.a} had seen everything.", "{^q.at}, {h.he} met {k.a}.", "Then {k.a} sat down beside {h.him}.", "{^k.a} heard it.")
    t.say('"I could not do it at first either," said {k}. "I tried a hundred times."', '"Nobody can do it on the first day," said {k}. "Try a little every day."', '"You have only tried a few times," said {k}. "Do not say never. Say not yet."', '"Not yet," said {k}. "You cannot do it yet."')
    t.say("So {h} tried again. On Monday, {fail}. On Tuesday, it went a little better.", "The next day, {h} practised all morning. It still did not work, but it was a little better.", "{h} practised before breakfast and {h.he} practised after supper.", "Day after day, {h} practised {p.at}.")
    t.say("On Wednesday it was better still.", "{h} fell down, got up and began again.", "Sometimes it went well, and sometimes it did not.", "{^f.intro} came to watch and cheered.", "{^h.he} did not give up.")
    t.say("And then, one {weather} day, {success}!", "At the end of the week, {h.he} tried once more, and {success}!", "Then, on a quiet morning, something happened. {h} tried, and {success}!")
    t.para()
    t.say('"I can do it!" [cried|shouted] {h}.', '"Did you see that?" cried {h}.', "{h} could hardly believe it.", "{h} laughed out loud.")
    t.say('"I knew it," said {k}.', "{k} nodded and smiled.", '"You see?" said {k}. "Now it is yours."', "{^m} clapped and clapped.")
    moral(t, "Not yet does not mean never.", "And the next day, {h} taught it to the smallest of the others.", "Practice makes hard things easy.", "Now there is no one {where} who can {skill} as well as {h}." if "his" not in c["skill"] else "{h} was very proud.")


@plot(1.0)
def bedtime(t):
    opening(t)
    t.para()
    t.say("One night, {h} could not sleep.", "It was late, but {h} was wide awake.", "The moon was already high, but {h} was still awake.", "One {season} night, {h} lay in bed with open eyes.")
    t.say("{^h.he} turned to the left. {^h.he} turned to the right.", "{^h.he} counted sheep, but the sheep ran away.", "{^h.he} closed {h.his} eyes, but they opened again all by themselves.", "The pillow was too hot, and the blanket was too short.")
    t.say('"{m.call}, I cannot sleep," {h.he} called.', '"I am not tired at all," said {h}.', "{^h.he} got up and went to {m}. \"I cannot sleep,\" {h.he} said.")
    t.say("{^m} sat down on the edge of the bed.", "{^m} came in with a candle.", "{^m} took {h.him} to the window.", "{^m} smiled and tucked {h.him} in.")
    t.para()
    way = t.pick("night|thanks|breath|story")
    if way == "night":
        t.say('"Let us say good night to everything," said {m}.', '"Perhaps the others cannot sleep because you have not said good night," said {m}.')
        things = t.rng.sample(["the moon", "the stars", "the old chair", "the trees outside", "the wind", "the clock", "the sleeping birds", "the shoes by the door", "the little lamp", "the clouds", "{p}", "{q}", "the mouse in the wall", "the spoon in the cup"], 5)
        t.say('"Good night, {}," said {{h}}. "Good night, {}. Good night, {}."'.format(*things[:3]))
        t.say('"Good night, {}," whispered {{m}}.'.format(things[3]), '"And good night, {}," {{h}} [mumbled|whispered].'.format(things[4]))
    elif way == "thanks":
        t.say('"Tell me three good things about today," said {m}.', '"What was good today?" asked {m}.')
        things = t.rng.sample(["the sun on {p}", "the soup at noon", "the song of a bird", "playing with {f}", "the smell of bread", "a funny cloud that looked like a shoe", "a ladybird on my hand" if t.cast["h"]["hand"] == "hand" else "a ladybird on my nose", "the story you told me", "running to {q}", "the first star"], 3)
        t.say('{{h}} thought about it. "{}," {{h.he}} said. "And {}. And {}."'.format(things[0][0].upper() + things[0][1:], *things[1:]))
        t.say('"That is a lot for one day," said {m}.', '"Those are three fine things," said {m} softly.')
    elif way == "breath":
        t.say('"Breathe in as slowly as the sea," said {m}, "and out again."', '"Be as heavy as a stone," said {m}, "and as soft as moss."')
        t.say("{h} breathed in, and {h.he} breathed out.", "{h} lay very still and listened to the [wind|rain|night].")
        t.say('"First your {h.hands} fall asleep," whispered {m}. "Then your nose. And then your ears."', '"Now your {h.hands} are heavy," {m} whispered, "and now your eyes."')
    else:
        t.say('"Then I will tell you a story," said {m}.', '"Shall I tell you a story?" asked {m}. {h} nodded.')
        t.say('"There was once {f.a} who wanted to visit the moon," {m} began. "{^f.he} built a ladder of [spider silk|light|sticks|spoons]."', '"Once there was a small cloud that was afraid of heights," {m} began.', '"Far away there is a boat that sails only at night," {m} began, "and it carries dreams."')
        t.say("The story went on and on, and {h}'s eyes grew heavy.", "{h} wanted to hear the end, but {h.his} eyes closed.")
    t.para()
    t.say("{h} yawned once. Then {h.he} yawned again.", "{h} gave a [big|long] yawn.", '"I am still not tired," {h} mumbled.', "Outside, the wind [whispered|sang] softly.")
    t.say("And then {h.he} was asleep.", "And before {m} reached the door, {h} was fast asleep.", "A moment later, {h} was dreaming.", "Soon there was nothing to hear but quiet breathing.")
    t.say('"Sleep well, {h}," said {m} and put out the light.', "The moon looked through the window and smiled.", "And all night long, the stars watched over the house.", "{h} dreamed of {p} and of {f}, and {h.he} smiled in {h.his} sleep.")


CULPRITS = [("crumbs", "a family of hungry baby mice"), ("tiny wet footprints", "a little lost hedgehog"), ("grey feathers", "a young dove with a hurt wing"), ("short red hairs", "a very small squirrel"), ("muddy tracks", "a puppy without a home"), ("a thin trail of straw", "a hen that was building a nest")]


@plot(1.0)
def mystery(t):
    opening(t)
    c = t.cast
    one, many = t.pick(words.FRUIT)
    trace, culprit = t.pick([x for x in CULPRITS if c["h"]["kind"] not in x[1] and c["f"]["kind"] not in x[1]])
    c.update(many=many, one=one, trace=trace, culprit=culprit, n=t.pick("three|four|five|two"))
    t.para()
    t.say("{^day}, {m} put a plate of {many} on the table. A little later, {n} of them were gone.", "{^day}, {h} opened the cupboard and could not believe it. {^n} {many} were missing!", "Something strange happened {day}. {^n} {many} disappeared from the kitchen.")
    t.say('"It was not me," said {h}.', '"Who took the {many}?" asked {m}.', '"A thief!" cried {h}.', '"How very strange," said {m}.')
    t.say("{h} called {f.intro}, and together they began to search.", "{h} asked {f.intro} to help. \"Two heads are better than one,\" {h.he} said.", '"I will find out," said {h}, and {h.he} went to get {f.intro}.')
    t.para()
    t.say("First they looked at the floor. There they found {trace}.", "Under the table, {f} discovered {trace}.", '"Look," said {f}. On the floor, {f.he} had found {trace}.')
    t.say('"A clue!" whispered {h}.', '"Follow me," said {h}, "and be very quiet."', '"Now we only have to follow the trail," said {f}.')
    t.say("The trail led out of the door and all the way to {p}.", "It led through the garden, past {q} and on to {p}.", "They followed the trail, slowly, all the way to {p}.")
    detail(t, "p", 0.4)
    t.say('They met {k.a}. "Have you seen a thief?" asked {h}. "No," said {k}, "but I heard a rustle over there."', '"Did you see anyone?" they asked {k.a}. "Somebody very small," said {k}.', "{^k.a} pointed the way. \"It went in there,\" said {k}.")
    spot(t, "s1", "p")
    t.say("They crept closer and looked {s1}.", "Something moved {s1}. They held their breath.", "{^s1}, something rustled.")
    t.say("And there was the thief: {culprit}!", "But it was no thief at all. It was {culprit}.", "They looked, and there was {culprit}, with the last {one}.") 
    t.para()
    t.say('"Please do not be angry," said a thin voice. "We were so hungry."' if "family" in culprit else '"Please do not be angry," said a thin voice. "I was so hungry."')
    t.say("{h} and {f} looked at each other.", "{h} was not angry any more.", "{f} laughed softly.")
    t.say('"Next time you can just ask," said {h}.', '"You should have asked us," said {f}. "We would have shared."', '"Come home with us," said {h}. "There is enough for everyone."')
    t.say("They brought milk and bread and a warm cloth.", "{^m} baked new {many}, twice as many as before.", "Together they carried a basket of food to {p}.")
    moral(t, "So the mystery was solved, and there was one more friend to play with." if "family" not in culprit else "So the mystery was solved, and there were many new friends to play with.", "Not everyone who takes something is bad. Some are only hungry.", "And from then on, an extra plate stood on the doorstep every evening.", "{h} and {f} were the best detectives for miles around.")


CLOTH = "scarf ribbon blanket storybook kite hat umbrella mittens slippers boots teddy bear basket feather".split() + ["teddy bear"]


@plot(1.0)
def quarrel(t):
    opening(t, alone=False)
    t.para()
    t.say("{^day}, the two of them found {o.a} {p.at}.", "{^day}, {h} and {f} were playing {p.at} when they found {o.a}.", "{^day}, they both noticed {o.a} {p.at}, at the very same moment.")
    t.say('"Mine!" cried {h}. "No, I saw {o.it} first!" cried {f}.', '"I want to have {o.it}," said {h}. "But I found {o.it}," said {f}.', '"Give {o.it} to me," said {f}. "No, to me!" said {h}.')
    detail(t, "p", 0.2)
    t.say("{h} pulled on one side, and {f} pulled on the other.", "They pulled and they pushed.", "They both got louder and louder.")
    torn = t.chance(0.5)
    if torn:
        t.say("Then there was a crack, and {o.the} {o.was} broken." if t.cast["o"]["n"] not in CLOTH else "Then there was a ripping sound, and {o.the} {o.was} torn.")
    else:
        t.say("Then {o.the} fell into a big muddy puddle.", "In the end, {o.the} flew through the air and landed in the mud.")
    t.say('"That is your fault!" they both shouted.', '"Now look what you have done!" shouted {f}.', '"I do not want to play with you any more," said {h}.')
    t.say("{h} went to the left, and {f} went to the right.", "They turned their backs to each other and went home.", "{f} {f.run} home, and {h} {h.run} home too.")
    t.para()
    t.say("The next day, {h} played alone. It was no fun at all.", "At home, {h} sat by the window. {^h.he} had nobody to laugh with.", "{h} tried to play alone, but everything was boring without {f}.")
    t.say('"What is the matter?" asked {m}. {h} told {h.his} {m.noun} everything.', "{^k.a} saw {h.his} sad face and asked what had happened.")
    t.say('"What is more important," was the answer, "{o.one} or {f}?"', '"Somebody has to take the first step," was the answer.', '"Saying sorry is hard," was the answer, "but losing a friend is harder."')
    t.say("{h} thought about it all night.", "{h} jumped up at once.", "{h} knew what {h.he} had to do.")
    t.say("{^h.he} {h.run} to {f}. Half way, near {q}, they met, because {f} had had the same idea.", "When {h.he} opened the door, {f} was already standing outside.", "{^h.he} {h.go} to {q}, and there sat {f}, all alone.")
    t.say('"I am sorry," said {h}. "I am sorry too," said {f}.', '"I am so sorry," they both said at the same time, and then they had to laugh.', '"I missed you," said {h}. "And I missed you," said {f}.')
    t.say("Together they mended {o.the}." if torn else "Together they cleaned {o.the} until {o.they} {o.was} as good as new.")
    t.say("From then on, {h} had {o.it} on one day, and {f} on the next.", "{f} got {o.it} in the mornings, and {h} in the afternoons.", "They gave {o.it} to the smallest of the others, who was very happy.")
    moral(t, "A friend is worth more than any {o.n}." if not t.cast["o"]["plural"] else "A friend is worth more than all the {o.n} in the world.", "It takes only two words to end a quarrel.", "And they never quarrelled again, or at least not for very long.")


@plot(1.0)
def nest(t):
    if t.season == "winter":
        return False
    c = t.cast
    young, mother, where = t.pick([("robin", "mother robin", "the nest in the hedge"), ("sparrow", "mother sparrow", "the nest under the roof"), ("swallow", "mother swallow", "the nest under the bridge"),
                            ("blackbird", "mother blackbird", "the nest in the apple tree"), ("owlet", "mother owl", "the hole in the old tree"), ("finch", "mother finch", "the nest in the pear tree")])
    c.update(young=young, mother=mother, nest=where)
    opening(t)
    t.para()
    spot(t, "s1", "p")
    t.say("{^day}, {h} heard a thin voice {p.at}. \"Peep! Peep!\"", '{^day}, {h} was {p.at} when {h.he} heard something. "Peep, peep," it went.', "{^day}, {h} was walking near {p}. Suddenly there was a very small sound.")
    t.say("{^s1} sat a baby {young}.", "{^h.he} looked {s1}, and there sat a baby {young}.", "It came from a baby {young} that sat {s1}.")
    detail(t, "p", 0.3)
    t.say("It had fallen out of the nest, and it could not fly yet.", "Its feathers were still short, and it trembled.", "It was as small as a walnut, and it was all alone.")
    t.say('"Do not be afraid," said {h}. "I will take you home."', '"You poor little thing," said {h}. "Where is your mother?"', '"Are you lost?" {h} asked softly.')
    t.para()
    t.say("{h} made a bed of moss and leaves in {h.his} hat and put the little one in it.", "Very gently, {h} wrapped the little one in a soft scarf.", "{h} gave it some crumbs and a drop of water.")
    t.say("But where was the nest? {h} asked {k.a}. \"Try {nest},\" said {k}.", '"Do you know where it lives?" {h.he} asked {k.a}. "Yes," said {k}. "It comes from {nest}."', '{^k.a} knew the answer. "Look for {nest}," said {k}, "over there near {q}."')
    t.say("It was much too high for {h}. So {h.he} called {f.intro}.", "{h} looked up. It was very high. Then {f.intro} came by.", '"That is too high for me," said {h}. "I need help." Luckily, {f.intro} was near.')
    t.say("{f} held the ladder, and {h} climbed up, one step at a time.", "{f} stood on a box, and {h} stood on {f}'s shoulders.", "They pushed a barrel there, put a box on top, and {h} climbed up while {f} held everything.")
    t.say("Carefully {h.he} put the little one back with its brothers and sisters.", "{^h.he} stretched as far as {h.he} could, and the little one hopped in.", "Then the little one was home again, between its two sisters.")
    t.say("The {mother} came flying with a worm and sang for joy.", "Just then the {mother} came back. \"Thank you,\" she sang, \"thank you!\"")
    t.para()
    t.say("Every day, {h} and {f} went to look.", "Two weeks later, the little one learned to fly.", "All {season} long, {h} heard them sing.")
    t.say("One morning, the young bird flew once around {h}'s head and away into the blue sky.", "And one day a small bird sat on {h}'s window sill and sang the most beautiful song.")
    moral(t, "Even the smallest friend is a friend.", '"Fly well," whispered {h}.', "And every year, when the birds come back, one of them always says hello to {h}.")


OBSTACLES = [("the bridge was broken", "laid a long plank across the water", "The old bridge is gone"), ("a big tree lay across the road", "showed {h.him} a secret path around it", "Nobody can pass here today"),
             ("a flock of sheep stood on the road and would not move", "called the sheep with a [whistle|loud cry], and they all went to one side", "These sheep are as stubborn as stones"),
             ("the road was under water after the rain", "carried {h.him} over on a little raft", "You will get wet feet here"), ("thick fog covered the road", "went ahead with a lantern", "You cannot see your own nose today")]


@plot(1.0)
def delivery(t):
    opening(t)
    c = t.cast
    block, fix, warn = t.pick(OBSTACLES)
    old = t.pick([("grandmother", "Grandma"), ("great-aunt", "Auntie")]) if c["m"]["noun"] != "grandmother" else ("great-aunt", "Auntie")
    c.update(block=block, fixed=fix, warn=warn, old=old[0], oldcall=old[1])
    gift = t.fix("gift", "[a warm apple pie|a pot of soup|a basket of eggs|fresh bread and butter|a jar of plum jam|a bunch of flowers|a letter with a red seal|a bottle of medicine|a warm shawl]")
    c["gift_the"] = "the " + gift.removeprefix("a ").removeprefix("fresh ")
    t.para()
    t.say('{^day}, {m} said, "{h}, please take {gift} to your {old}. She lives beyond {q}."', "{^day}, {m} packed {gift}. \"Your {old} is ill,\" said {h.his} {m.noun}. \"Will you take this to her?\"", "{^day}, {h} was to bring {gift} to {h.his} {old}, who lived beyond {q}.")
    t.say('"I can do that," said {h} proudly.', "It was the first time that {h} was allowed to go alone.", '"And do not stop on the way," said {m}.', '"I will be careful," {h} promised.')
    go(t, "h", "p")
    t.say("{^f.intro} was playing there. \"Come and play with me!\" called {f}. \"Later,\" said {h}. \"First I must do my job.\"", "There {h.he} saw ripe berries, and {h.he} wanted to stop. But {h.he} went on." if t.season in ("summer", "autumn") else "There {h.he} saw something [bright|shiny] and wanted to stop. But {h.he} went on.", "{h} sang a song to {h.himself} on the way.")
    encounter(t, 0.4)
    t.say("But near {q}, {block}.", "Everything went well until {h.he} came to {q}. There {block}.")
    t.say('"What shall I do now?" thought {h}.', '"{warn}," said {k.a} who sat there.', "{h} stopped. How could {h.he} go on?")
    if "{k.a} who sat" in str(t.told):
        t.say('"But my {old} is waiting," said {h}.', '"I have to get to my {old}," said {h}.')
    else:
        t.say("Then {k.a} came by. \"Where do you want to go?\" asked {k}. \"To my {old},\" said {h}.", '{^k.a} saw {h.him}. "Can I help you?" asked {k}. "I must get to my {old}," said {h}.')
    t.say("{k} thought for a moment and {fixed}.", '"Then I will help you," said {k}, and {k} {fixed}.', '"Wait," said {k}. And {k} {fixed}.')
    t.say('"Thank you very much!" said {h}.', "{h} thanked {k} and hurried on.", "Soon {h} was on the other side.")
    t.para()
    t.say("At last {h} knocked at the door. \"Who is there?\" called a voice. \"It is me, {h}!\"", "It was late when {h.he} reached the little house, but there was a light in the window.", "{^h.his} {old} was already standing at the gate.")
    t.say('"{oldcall}, this is for you," said {h} and gave her {gift_the}.', "{h} put {gift_the} on the table.", "{h} had not lost anything on the way.")
    t.say('"You came all this way alone?" said {h.his} {old}. "How big you are!"', "{^h.his} {old} was so happy that her cheeks turned red.", '"What a good {h.kind} you are," said {h.his} {old}.')
    t.say("They sat together and drank hot [tea|milk|chocolate].", "She told {h.him} a story from the old days.", "They ate together and laughed a lot.")
    moral(t, "And on the way home, {h} felt at least two inches taller.", "{h} was proud, for {h.he} had kept {h.his} word.", "A promise is a promise.", "The next time, {h} knew the way by heart.")


@plot(0.9)
def moon(t):
    opening(t)
    t.para()
    t.say("One night, {h} saw the moon in the water of a [deep|quiet] pond.", "One clear night, {h} looked into a bucket of water, and there was the moon!", "One evening, {h} walked past a pond, and the moon lay in the water.")
    t.say('"The moon has fallen down!" cried {h}.', '"Oh no," said {h}. "The moon will drown!"', '"I will catch it and take it home," thought {h}.')
    t.say("{h} {h.run} to {f.intro}. \"Come quickly,\" {h.he} said. \"We must save the moon!\"", "{^h.he} woke up {f.intro}. \"Help me,\" said {h}. \"The moon is in the water.\"", "{^h.he} called {f.intro}, and together they brought a [net|basket|big spoon].")
    t.say("They tried it with a net, but the moon slipped through.", "{f} reached into the water, and the moon broke into a hundred pieces.", "They scooped and scooped, but the moon would not come out.")
    t.say('"Now we have broken it," [cried|sobbed] {h}.', '"It is gone," said {f}.', "They looked at each other in horror.")
    t.say("But when the water was still, the moon was whole again.", "They waited, and when the water was quiet, there it was again, round and bright.")
    t.para()
    t.say("{^k.a} had been watching.", "{^k.a} came by and asked what they were doing.", "Somebody laughed softly. It was {k.a}.")
    t.say('"Look up," said {k}.', '"Lift your heads," said {k}, "and tell me what you see."')
    t.say("They looked up. There hung the moon, high above the trees.", "{h} looked up at the sky. And there was the moon, just where it belonged.")
    t.say('"The water is a mirror," said {k}. "It shows you the sky."', '"What you saw was only a picture of the moon," said {k}.', '"The moon likes to look at itself in the water," said {k}.')
    t.say('"Then nobody can catch it?" asked {f}. "Nobody," said {k}, "but everybody can look at it."', '"So it belongs to nobody?" asked {h}. "It belongs to everyone," said {k}.')
    t.say("They sat by the water for a long time and looked at both moons.", "They all laughed, and the moon seemed to laugh with them.", '"One moon above and one below," said {f}. "That is even better."')
    moral(t, "And when {h} lay in bed, the moon shone through the window and said good night.", "Some things are the most beautiful when nobody holds them.", "{h} waved to the moon, and it looked as if the moon waved back.")


SOUNDS = [("a deep growl", "a bear", "only snoring"), ("a terrible howl", "a wolf", "only practising a song"), ("a loud boom, boom, boom", "a giant", "only playing a drum"),
          ("a long, sad moan", "a ghost", "only blowing across an empty bottle"), ("a great hissing", "a snake as long as a river", "only cooking soup in a big pot"), ("a strange roar", "a lion", "only sneezing")]


@plot(1.0)
def noise(t):
    opening(t)
    c = t.cast
    sound, guess, truth = t.pick(SOUNDS)
    if c["h"]["kind"] in guess or c["f"]["kind"] in guess:
        sound, guess, truth = SOUNDS[4]
    c.update(sound=sound, guess=guess, truth=truth)
    t.para()
    t.say("{^day}, {h} heard {sound} near {p}.", "Every evening, {sound} came from {p}.", "{^day}, there was {sound}. It came from {p}.", "For three nights, everyone had heard {sound} from {p}.")
    t.say('"It is {guess}!" they all cried.', '"It must be {guess}," said {f.intro}.', '"I am sure it is {guess}," whispered {f.intro}.')
    t.say("Nobody dared to go near it.", "All of them locked their doors.", "The others pulled their blankets over their heads.")
    t.say('But {h} wondered. "Has anyone seen it?" {h.he} asked. No one had.', '"Let us go and see," said {h}.', '"I want to know what it really is," said {h}.')
    t.maybe(0.6, "\"Are you not afraid?\" the others asked. \"A little,\" said {h}. \"But I am more curious than afraid.\"", "{^h.his} knees were shaking, but {h.he} went all the same.")
    t.para()
    t.say("{^h.he} {h.go} to {p} on quiet feet.", "With a lantern in front of {h.him}, {h.he} {h.go} to {p}.", "Step by step, {h.he} came closer to {p}.")
    detail(t, "p", 0.4)
    t.say("There it was again: {sound}!", "The sound grew louder and louder.", "Then {h.he} heard it again, quite near.")
    spot(t, "s1", "p")
    t.say("{h} held {h.his} breath and looked {s1}.", "{h} peeped out carefully. Something moved {s1}.", "Slowly, very slowly, {h} looked {s1}.")
    t.say("And what did {h.he} see? It was {k.a}, who was {truth}!", "There sat {k.a}, who was {truth}.", "It was not {guess} at all. It was {k.a}, who was {truth}.")
    t.say("{h} laughed until {h.his} sides hurt.", '"So it was you!" said {h}.', '"Good evening," said {k}. "Did I wake you?"', '"Everyone thinks that you are {guess}," said {h}.')
    t.say('"I am so sorry," said {k}. "I did not want to frighten anyone."', '"Me?" said {k} in surprise. "But I am only {k.a}."', '"Nobody ever comes to visit me," said {k}. "I thought nobody liked me."')
    t.para()
    t.say("{h} took {k} along and showed {k.him} to the others.", "The next day, {h} brought everyone to {p}.", "{h} called the others. At first they were afraid, but then they laughed too.")
    t.say("They had tea and cake together.", "They all sat down together, and {k} told a funny story.", "Soon they were all the best of friends.")
    moral(t, "What we do not know often seems bigger than it is.", "It is better to look than to be afraid.", "And when they hear {sound} now, they only smile and say, \"That is {k}.\"", "From then on, {k} was never alone.")


@plot(0.8)
def snowman(t):
    if t.season != "winter":
        return False
    opening(t)
    c = t.cast
    c.update(nose=t.pick("a carrot|a pine cone|a red pepper|a wooden spoon"), eyes=t.pick("two black buttons|two pieces of coal|two round stones|two walnuts"), hat=t.pick("an old pot|a straw hat|a blue cap|a flower pot|a woollen hat"))
    c["snow"] = t.pick("Mr. Frost|Old Whitebeard|Mr. Winter|Captain Snow|Sir Icicle|Uncle Flake")
    t.para()
    t.say("In the night, it had snowed. {h} {h.run} out of the house at once.", "{^day}, the snow was so deep that {h} sank in up to {h.his} knees.", '"Snow!" cried {h}, and {h.he} could not wait to go outside.')
    t.say('{^f.intro} was already waiting. "Shall we build a snowman?" asked {f}.', "{h} met {f.intro}. \"Let us build a snowman,\" said {h}.")
    t.say("They rolled one big ball, one middle ball and one small ball.", "They rolled the snow until their balls were as big as barrels.", "They pushed and rolled and puffed until three balls stood on top of each other.")
    t.say("For the eyes they took {eyes}, for the nose {nose}, and on the head they put {hat}.", "{h} brought {eyes} and {nose}, and {f} found {hat}.")
    t.say('"He looks wonderful," said {f}. "We will call him {snow}."', '"Hello, {snow}," said {h} and bowed.', "They called the snowman {snow}.")
    t.para()
    if t.chance(0.5):
        t.say("But the next morning, the nose was gone!", "But when they came back after lunch, the snowman had no nose.")
        t.say("In the snow they saw [tiny|small] tracks. They led to {p}.", '"Look, tracks!" said {f}. They followed them to {p}.')
        t.say("There sat {k.a}, who looked [thin and cold|very guilty]. \"I am sorry,\" said {k}. \"I was so hungry.\"" if "carrot" in c["nose"] or "pepper" in c["nose"] else "There was {k.a}, who said, \"I am sorry. I only wanted something to play with.\"")
        t.say('"You should have told us," said {h}.', "{h} was not angry. {^h.he} took {k} home for [hot soup|warm bread and milk].")
        t.say("And {snow} got a new nose, even longer than the first.", "Then all three of them found a new nose for {snow}.")
        moral(t, "And if you look closely, you can see {snow} smile.", "So {snow} had a nose, and nobody was hungry any more.")
    else:
        t.say("Every day they came to visit him and told him stories.", "All winter long, {snow} stood there and watched over the house.")
        t.say("But then the sun grew warmer, and {snow} grew smaller and smaller.", "But one day the wind was mild, and water dripped from his hat.")
        t.say('"Do not go," said {h} and was very sad.', "{h} cried a little when only the hat was left.")
        t.say('"He is not gone," said {m}. "He has become water, and the water feeds the flowers. Next winter he will come again."', '"Snow comes and goes," said {m}. "Next winter, he will be back."')
        t.say("In spring, on the spot where {snow} had stood, a white flower bloomed.", "In spring, the first snowdrop grew just there.")
        moral(t, '"Good morning, {snow}," said {h} to the flower.', "And {h} kept the hat for the next winter.")


@plot(0.9)
def gift_of_song(t):
    opening(t)
    c = t.cast
    c["gift"] = t.pick("a song|a picture|a poem|a wreath of leaves|a little boat of bark|a necklace of seeds" if t.season != "winter" else "a song|a picture|a poem|a star of straw|a little boat of bark")
    t.para()
    t.say("{^day}, {k.a} had fallen ill, and everyone [brought|wanted to bring] a present.", "{^day}, {h} heard that {k.a} was very sad. Everyone [brought|wanted to bring] a present to cheer {k.him} up.", "{^day}, everyone was to bring a present for {k.a}, who was a hundred years old." if c["k"]["human"] else "{^day}, everyone was to bring a present for {k.a}, who was very old.")
    t.say("{^f.intro} brought a [big|huge] basket of fruit. Others brought silver cups and silk cushions.", "Others brought fine gifts: honey and nuts, ribbons and bells.", "{^f.intro} had bought the finest cake of all.")
    t.say("But {h} was poor and had nothing to bring.", "{h} looked into {h.his} pockets. They were empty." if c["h"]["kind"] in words.HUMAN else "{h} looked around at home, but there was nothing to give.", "Only {h} had no money at all.")
    t.say('"What can I give?" {h.he} thought.', "{h} sat down {p.at} and thought.", "{h} asked {m}. \"Give what only you can give,\" said {h.his} {m.noun}.")
    t.para()
    t.say("All day, {h} worked {q.at}, and in the evening {gift} was ready.", "Then {h.he} had an idea. {^h.he} went to {q} and made {gift}.", "{h} {h.go} to {q}, and there, all by {h.himself}, {h.he} made {gift}.")
    detail(t, "q", 0.3)
    t.say("{^h.his} heart beat fast when it was {h.his} turn.", "{h} was the very last, and {h.he} was a little ashamed.", "Some of the others laughed when {h} came with {gift}.")
    t.say('"This is for you," said {h} softly. "I made it for you."', '"It is only {gift}," said {h}, "but it comes from my heart."')
    t.say("{k} was silent for a long time. Then {k.he} smiled, and there was a tear in {k.his} eye.", "{k} listened and looked, and a smile came into {k.his} face.")
    t.say('"Of all the gifts, this is the dearest," said {k}.', '"Nobody ever made anything for me before," said {k}. "Thank you, {h}."', '"I feel better already," said {k}.')
    t.say("Now nobody laughed any more.", "{f} said, \"Your gift is the best of all.\"", "The others grew quiet, and then they clapped.")
    moral(t, "The best gifts cannot be bought.", "A gift from the heart is never small.", "And {k} kept {gift} for the rest of {k.his} life." if c["gift"] not in ("a song", "a poem") else "And {k} never forgot it.")


@plot(1.4)
def search(t):
    """Three things to find, at three places."""
    opening(t, alone=t.chance(0.5))
    c = t.cast
    kinds = t.rng.sample(list(words.FINDS), 3)
    for letter, kind in zip("abd", kinds):
        c[letter], c[letter + "_found"] = f"something {kind}", t.pick(words.FINDS[kind])
    t.para()
    t.say('{^day}, {m} said, "Bring me {a}, {b} and {d}, and [there will be pancakes|you may stay up late|I will tell you a secret]."', '{^day}, {h} [was bored|had nothing to do]. "Go and find {a}, {b} and {d}," said {m}.',
          "{^day}, {h} wanted to find three things: {a}, {b} and {d}.", '{^day}, {k.a} made a bet. "You will never find {a}, {b} and {d} before [noon|sunset]," said {k}. "We will see," said {h}.')
    ways = t.rng.sample(range(5), 3)
    for letter, place in zip("abd", "pqr"):
        x, y = "{" + letter + "}", "{" + letter + "_found}"
        at, name = "{" + place + ".at}", "{" + place + "}"
        t.say({0: f"{at.replace('{', '{^')}, {{h}} found {y}. That was {x}.", 1: f"{{h}} {{h.go}} to {name} and looked around. {y.replace('{', '{^')}! That was {x}.",
               2: f'{{^h.he}} discovered {y} {at}. "This is {x}," said {{h}}.', 3: f"For a long time {{h}} found nothing. But {at} there was {y}, and that was certainly {x}.",
               4: f"{{h}} asked {{h.himself}} where to look. Perhaps {at}? And indeed, there was {y}. That was {x}."}[ways.pop()])
        encounter(t, 0.3)
        detail(t, place, 0.15)
    t.para()
    t.say("With all three things, {h} went home.", "Now {h.he} had everything: {a_found}, {b_found} and {d_found}.", "{h} put {a_found}, {b_found} and {d_found} side by side. [What a fine collection!|It was a strange collection.]",
          "Happy and tired, {h} [came|went] home.")
    t.say('"Well done," said {m}.', '"I could not have done it better," said {m}.', "{^m} looked at everything and smiled.", '"And which one do you like best?" asked {m}. "[The first|The second|The last|All of them]," said {h}.')
    evening(t, 0.4)
    moral(t, "Whoever looks closely finds a treasure everywhere.", "And the next day, {h} went out to look for three other things.", "The world is full of things that only wait to be found.")


@plot(1.3)
def walk(t):
    """Nothing but small events on a long way."""
    opening(t)
    t.para()
    t.fix("aim", "[to see where the [brook|road|path] comes from|to find the place where the [wind|echo|rainbow] lives|to look for the [best|finest] place to sit|to see what lies behind {r}|to think about something important|because the day was too fine to stay at home|to visit {h.his} [cousin|godmother|old teacher] near {r}]")
    t.say("{^day}, {h} went for a long walk {aim}.", "{^day}, {h} packed [an apple|some bread and cheese|two pancakes] and set out {aim}.", "{^day}, {h} put on {h.his} [scarf|cap] and went out {aim}.")
    t.say("First {h.he} came to {p}.", "{h} {h.go} past {p}.", "The way led past {p}.")
    detail(t, "p", 0.6)
    encounter(t)
    encounter(t, 0.5)
    t.para()
    t.say("Then the path went on to {q}.", "A little later, {h} rested {q.at}.", "{^q.at}, {h} sat down and ate {h.his} lunch.", "At noon, {h.he} was {q.at}.")
    encounter(t)
    t.maybe(0.6, "There {h.he} met {k.a}. \"[Fine weather|A fine day|Nice to see you],\" said {k}. \"[Where are you off to|Where to]?\" \"[Here and there|To {r}|I will know when I get there],\" said {h}.", "{^k.a} walked beside {h.him} for a while, and they talked about [soup|the weather|the old days|clouds|names for cats].",
            "{^k.a} gave {h.him} [a drink of water|half an apple|a handful of nuts] and wished {h.him} a good journey.")
    detail(t, "q", 0.4)
    encounter(t, 0.5)
    t.para()
    t.say("In the afternoon, {h.he} reached {r}.", "At last {h} came to {r}.", "And then {h.he} was there, {r.at}.")
    t.say("{^h.he} [sat|stood] there for a while and was quite content.", "{h} looked back at the long way and was proud.", '"So this is it," said {h}, and it was good.', "{^h.he} was tired, but it was the good kind of tired.")
    evening(t, 0.7)
    t.say("When {h} came home, {m} asked, \"What did you see?\" \"Everything,\" said {h}.", "At home, {m} had kept the soup warm.", '"Did anything happen?" asked {m}. "Nothing much," said {h} and smiled.', "{h} took off {h.his} [scarf|cap] and fell asleep [in the chair|at the table|before supper].")
    moral(t, "Small things are big enough for a whole day.", "Those who walk slowly see the most.", "And the next time, {h} took {h.his} friend {f} along.")


@plot(0.7)
def riddles(t):
    """A guard who lets pass only those who guess."""
    opening(t)
    c = t.cast
    three = t.rng.sample(words.RIDDLES, 3)
    for i, (question, answer) in enumerate(three):
        c[f"q{i}"], c[f"a{i}"] = question, answer
    c["way"] = t.pick("the narrow bridge|the garden gate|the only path|the little ferry|the old stairs")
    t.para()
    t.say("{^day}, {h} wanted to go to {p}. But in front of {way} sat {k.a}.", "{^day}, {h} was on the way to {p} when {k.a} stood in front of {way}.", "{^day}, {k.a} guarded {way} that led to {p}, just when {h} wanted to pass.")
    t.say('"[Stop|Halt]!" said {k}. "Only those who can answer [my|three] riddles may pass."', '"You may go on," said {k}, "if you can guess three riddles."', '"I am so bored," said {k}. "Guess my riddles, and I will let you through."')
    t.say('"I like riddles," said {h}.', '"Ask me," said {h}.', "{h} sat down and pricked up {h.his} ears.", '"I will try," said {h}.')
    t.say('"{q0}" asked {k}.', 'The first one was this: "{q0}"', '"Then listen," said {k}. "{q0}"')
    t.say('"That is easy," said {h}. "It is {a0}."', '{h} thought for a moment. "{^a0}," {h.he} said.', '"{^a0}!" cried {h}.')
    t.say('"[Right|Correct|Not bad]," said {k}. "And now the second. {q1}"', '{k} nodded. "{q1}"', '"That was only the beginning," said {k}. "{q1}"')
    t.say('{h} scratched {h.his} head. "Is it {a1}?" {h.he} asked.', 'This one was harder. {h} looked at the sky, and {h.he} looked at the ground. "{^a1}," {h.he} said at last.', '"I know that from {m}," said {h}. "It is {a1}."')
    t.para()
    t.say('"Nobody has ever guessed the third," said {k}. "{q2}"', '"And here is the last one," said {k} with a smile. "{q2}"', '"Very good," said {k}. "But this one is the hardest. {q2}"')
    if t.chance(0.5):
        t.say("{h} thought and thought. {^h.he} did not know it.", '"I do not know," said {h} honestly.', "That was really hard. {h} walked up and down and found no answer.")
        t.say('Then {f.intro} came along and whispered something in {h.his} ear. "{^a2}!" cried {h}.', 'Luckily, {f.intro} came by. "Perhaps {f} knows it," said {h}. "{^a2}," said {f} without thinking.')
        t.say('"Two may guess together," said {k}. "The way is free."', '"A good friend is also a good answer," said {k} and stepped aside.')
    else:
        t.say("{h} was silent for a long time. Then {h.he} laughed. \"{^a2}!\"", '{h} closed {h.his} eyes. "It must be {a2}," {h.he} said.', '"Could it be {a2}?" asked {h}.')
        t.say('"That is it!" cried {k}. "You are a clever {h.kind}."', "{k} clapped and stepped aside.", '"Now I have to think of new ones," said {k} and let {h.him} pass.')
    moral(t, "And on the way back, {h} had a riddle for {k}.", "From then on, {h} came every week, and they asked each other riddles.", "A good riddle is better than a locked door.")


@plot(1.0)
def game(t):
    """Two friends who cannot agree what to play."""
    opening(t, alone=False)
    c = t.cast
    c["g1"], c["g2"], c["g3"] = t.rng.sample(words.GAMES, 3)
    t.para()
    t.say("{^day}, they met {p.at}.", "{^day}, {h} and {f} went to {p} to play.", "{^day}, {f} was waiting for {h} {p.at}.")
    t.say('"Let us play {g1}," said {h}. "I would rather play {g2}," said {f}.', '"Today we play {g2}," said {f}. "But I want to play {g1}," said {h}.', "{h} wanted to play {g1}. {f} wanted to play {g2}.")
    t.say('"We always do what you want," said {f}.', '"That is for babies," said {h}. It was not a nice thing to say.', "They stood there with crossed arms and looked in two different directions." if c["h"]["hand"] == "hand" and c["f"]["hand"] == "hand" else "They stood there and looked in two different directions.", "Neither of them would give in.")
    detail(t, "p", 0.4)
    t.para()
    how = t.rng.random()
    if how < 0.34:
        t.say('{^k.a} came by. "Why do you not play both?" asked {k}. "First one, then the other."', '"First {g1}, then {g2}," {k.a} suggested. "The day is long enough."')
        t.say("So they played {g1} until noon, and after lunch they played {g2}.", "They tossed a [coin|stone], and {g2} came first. Then they played {g1}.")
    elif how < 0.67:
        t.say('Then {h} had an idea. "We could mix them," {h.he} said.', '"What if we make a new game out of both?" asked {f}.')
        t.say("It was half {g1} and half {g2}, and the rules changed every minute.", "Nobody has ever seen such a game, for it was {g1} and {g2} at the same time.")
    else:
        t.say("{f} turned around to go. But then {f.he} thought about it.", "For a while each of them played alone, but that was very dull.")
        t.say('"All right, let us play {g1}," said {f}. "No, no," said {h}, "let us play {g2}." And then they both laughed and played {g3}.', '"You may choose," said {h}. "No, you," said {f}. In the end they played {g3}.')
    t.say("They ran and laughed until they were out of breath.", "Soon the others came and joined in.", "They forgot the time, and they forgot the quarrel.", "{f} won twice, and {h} won twice, and then they stopped counting.")
    evening(t, 0.6)
    t.say('"Tomorrow again?" asked {f}. "Tomorrow again," said {h}.', "They went home side by side, tired and dirty and happy.", '"That was fun," said {h}. "It was," said {f}.')
    moral(t, "It is not so important what you play, but with whom.", "When both give in a little, both win.", "And the next day, they agreed at once.")
