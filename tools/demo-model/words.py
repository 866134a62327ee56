"""Word tables of the tale generator (corpus.py): who, where, what, when.

Every phrase is a template in corpus.py's notation: `[a|b]` picks one
alternative, `{h.his}` names a form of a member of the cast (h hero, f friend,
k helper, m family). "a" becomes "an" by sound after expansion.
"""

BOYS = """Tom Ben Leo Sam Max Finn Oscar Jack Noah Eli Theo Hugo Felix Milo Owen Luke Jonas Anton Emil Nico
Peter Paul Oliver Henry Arthur Simon Martin Walter Rafi Omar Amir Kofi Kenji Ravi Diego Mateo Ivan Pavel Karl
Lars Nils Otto Tim Toby Will George Adam Daniel David Jamie Robin Alfie Ali Hassan Tariq Bruno Marco Luca Enzo""".split()
GIRLS = """Mia Anna Lily Ella Emma Rosa Clara Nora Ruby Alice Lucy Molly Sofia Maria Elena Ida Greta Hanna Lena
Zoe Maya Nina Tara Amina Leila Yuki Hana Priya Asha Ines Carla Luisa Vera Olga Katya Freya Astrid Sigrid Julia
Jane Kate Grace Hazel Ivy Daisy Poppy Rose Flora Stella Luna Sara Eva Mira Wanda Tilda Agnes Edith Martha Fatima""".split()
HE_PETS = """Pip Rusty Bramble Barnaby Toby Bumble Patch Nutmeg Oakley Thistle Fern Button Biscuit Gus Wilbur
Alder Basil Chester Dusty Flint Jasper Monty Ollie Puddle Reed Sorrel Tuck Waffle Bertie Clarence Digby""".split()
SHE_PETS = """Hazel Clover Willow Maple Poppy Tansy Juniper Nell Olive Pearl Rosie Saffron Tilly Violet Dot
Bluebell Cricket Dora Fidget Ginger Honey Lulu Mabel Penny Pepper Plum Snowdrop Twig Velvet Wren Millie""".split()

# kind: (adjectives, walking verbs, hurrying verbs, home, hand, worlds)
KIND = {
    "rabbit": ("small brown|little grey|young white|fluffy", "hopped", "bounded|hopped as fast as {@.he} could", "in a [snug|cosy] burrow under [the hill|a hedge]", "paw", "forest meadow farm"),
    "fox": ("young red|small|clever little|bushy-tailed", "trotted|walked", "raced|ran|dashed", "in a [dry|warm] den beneath [an old beech|the roots of a pine]", "paw", "forest meadow mountain"),
    "bear": ("little brown|small|round|sleepy young", "walked|padded|wandered", "ran|hurried", "in a [warm|deep] cave [behind the waterfall|on the hillside]", "paw", "forest mountain"),
    "mouse": ("tiny|little grey|small brown|quick little", "scurried|tiptoed", "scampered|darted|dashed", "in a [tiny|tidy] house [under the floorboards|behind the stove|in the wall]", "paw", "meadow farm village city castle"),
    "field mouse": ("tiny|small|round-eared|shy little", "scurried|tiptoed", "scampered|darted", "in a [soft nest|tiny house] [among the roots|in the tall grass]", "paw", "forest meadow"),
    "hedgehog": ("small|prickly little|round|young", "shuffled|walked|trotted", "hurried|scuttled", "under a [big heap of leaves|pile of old branches]", "paw", "forest meadow farm"),
    "squirrel": ("little red|young grey|lively|bright-eyed", "scampered|hopped", "raced|dashed|leapt along", "in a [hollow|tall old] [oak|chestnut] tree", "paw", "forest meadow"),
    "badger": ("young|small|striped|sturdy little", "walked|plodded|wandered", "ran|hurried", "in a [tidy|roomy] sett under [the hill|the oak tree]", "paw", "forest meadow"),
    "duckling": ("little yellow|fluffy|small|young", "waddled", "waddled quickly|hurried", "in a [soft nest|small house] [among the reeds|beside the pond]", "wing", "meadow farm"),
    "frog": ("small green|little|spotted|cheerful young", "hopped", "leapt|hopped quickly", "under a [broad leaf|mossy stone] [by the water|near the brook]", "hand", "meadow forest"),
    "otter": ("playful young|sleek little|small brown|lively", "trotted|walked", "dashed|raced|ran", "in a [dry|snug] den [on the riverbank|by the water]", "paw", "meadow forest seaside"),
    "kitten": ("small black|little striped|grey|ginger", "padded|walked|strolled", "ran|dashed|raced", "[in a basket by the stove|on a soft cushion by the window]", "paw", "village farm city seaside castle"),
    "puppy": ("small brown|floppy-eared|little spotted|curly-haired", "trotted|walked", "ran|raced|bounded", "in a [little red|small wooden] kennel [by the gate|near the back door]", "paw", "village farm city seaside castle"),
    "lamb": ("little white|woolly|young|small black", "skipped|trotted|walked", "ran|bounded|galloped", "in a [warm|dry] barn [full of hay|on the hill]", "hoof", "farm mountain village"),
    "goat": ("young white|small brown|little grey|sure-footed", "trotted|skipped|walked", "ran|bounded|galloped", "in a [small|wooden] shed [high on the hill|beside the barn]", "hoof", "farm mountain village"),
    "piglet": ("pink little|small spotted|round|muddy little", "trotted|walked", "ran|raced|hurried", "in a [clean|warm] sty [behind the barn|next to the stable]", "hoof", "farm village"),
    "pony": ("small brown|young grey|gentle|shaggy", "trotted|walked", "galloped|cantered", "in a [warm|dry] stable [next to the barn|near the orchard]", "hoof", "farm mountain castle"),
    "fawn": ("young spotted|gentle little|small|shy", "walked|stepped softly|trotted", "ran|bounded|leapt along", "in a [quiet thicket|ferny hollow] [at the edge of the wood|under tall trees]", "hoof", "forest mountain"),
    "beaver": ("busy young|small brown|strong little|hard-working", "walked|waddled", "hurried|ran", "in a [sturdy|cosy] lodge [on the river|made of sticks and mud]", "paw", "forest meadow"),
    "mole": ("small|velvety|little black|quiet young", "walked|shuffled", "hurried|scuttled", "in a [neat|round] room under the ground", "paw", "meadow forest farm"),
    "raccoon": ("young grey|curious little|small|masked", "walked|ambled|trotted", "ran|scampered", "in a [hollow log|big hollow tree] [by the stream|in the woods]", "paw", "forest mountain"),
    "turtle": ("small green|slow little|young|patient", "plodded|walked", "hurried as best {@.he} could|walked as fast as {@.he} could", "in a [quiet|sunny] corner [of the pond|by the water]", "foot", "meadow seaside forest"),
    "dragon": ("small green|little red|young blue|gentle", "walked|stomped|strolled", "ran|hurried", "in a [warm|dry] cave [above the castle|behind the waterfall]", "claw", "castle mountain"),
    "robot": ("small silver|little round|shiny|friendly", "rolled|walked", "rolled quickly|whirred along|hurried", "in a [busy|little] workshop [above the bakery|at the end of the street]", "hand", "city"),
    "boy": ("little|small|young|cheerful", "walked|strolled|skipped", "ran|raced|hurried", "in a [little|small|crooked|tidy] [white|red|blue|yellow|stone] house [with a green door|with a garden|at the end of the lane|on the corner]", "hand", "village seaside farm city mountain"),
    "girl": ("little|small|young|cheerful", "walked|strolled|skipped", "ran|raced|hurried", "in a [little|small|crooked|tidy] [white|red|blue|yellow|stone] house [with a round window|with a garden|at the end of the lane|near the square]", "hand", "village seaside farm city mountain"),
    "prince": ("young|little|thoughtful", "walked|strolled", "ran|hurried|rushed", "in a [tall|grey|grand] castle [with seven towers|on a hill|beside a lake]", "hand", "castle"),
    "princess": ("young|little|clever", "walked|strolled", "ran|hurried|rushed", "in a [tall|grey|grand] castle [with seven towers|on a hill|beside a lake]", "hand", "castle"),
    "kitchen boy": ("young|small|hungry", "walked|strolled", "ran|hurried|rushed", "in a [tiny|warm] room beside the castle kitchen", "hand", "castle"),
    "shepherd girl": ("young|brave|quiet", "walked|strolled", "ran|hurried", "in a [small|wooden] hut [on the hillside|above the castle]", "hand", "castle mountain"),
}
HE_ONLY = {"boy", "prince", "kitchen boy"}
SHE_ONLY = {"girl", "princess", "shepherd girl"}
HUMAN = HE_ONLY | SHE_ONLY
FLOATS = {"duckling", "frog", "otter", "beaver", "turtle", "robot", "dragon"}

TRAITS = "kind|curious|shy|brave|gentle|clever|cheerful|quiet|lively|patient|thoughtful|merry|friendly|careful|dreamy|playful"
HABITS = """collect smooth stones|watch the clouds|sing little songs|ask questions|tell stories|count the stars|draw pictures
|pick wild flowers|play hide-and-seek|listen to the rain|dance in the wind|look for four-leaf clovers|whistle in the morning
|make up rhymes|watch the birds|dig in the earth|help in the garden|explore new places|jump over puddles|roll down hills
|build little towers|look at the moon|play the flute|bake with {h.his} {h.mum}|read by the window|hum while {h.he} worked
|follow butterflies|listen to old stories|make new friends|splash in the water|sit in the sun|make crowns of daisies""".replace("\n", "")

# world: (where, places, helpers)
WORLD = {
    "village": ("in a [small|quiet|little|sleepy] village [at the foot of a hill|beside a river|among green fields|surrounded by orchards|where everyone knew each other]",
                "mill market well bakery orchard bridge stream meadow school oak duckpond barn hill", "baker postman miller farmer carpenter gardener goose crow donkey owl cat"),
    "seaside": ("in a [small|little|sunny|windy] town [by the sea|on the coast|near a white lighthouse|beside a wide blue bay|where the gulls cried all day]",
                "harbour beach lighthouse pools pier dunes cliff boathouse cove market", "fisherman sailor lighthouse-keeper postman crab gull seal pelican baker"),
    "farm": ("on a [small|sunny|busy|green] farm [in the valley|at the edge of a forest|near a winding river|with red barns|far from the town]",
             "barn henhouse orchard vegetables duckpond hayfield gate stable creek windmill sunflowers", "farmer miller donkey goose hen horse crow dog cat owl"),
    "city": ("in a [big|busy|bright|noisy] city [full of tall houses|with a hundred bridges|where the trams rang their bells|by a wide river|of towers and gardens]",
             "park library bakery fountain rooftop toyshop playground station museum river square", "baker librarian gardener postman conductor painter pigeon cat dog musician"),
    "forest": ("in a [green|deep|quiet|big|shady] forest [full of tall trees|beyond the hills|where the moss was soft|of oaks and beeches|far from any road]",
               "oak mossy clearing brambles log ferns pine dam mushrooms cave birch", "owl deer woodpecker tortoise badger-old crow beaver-old squirrel-old snail"),
    "meadow": ("in a [wide|sunny|green|flowery] meadow [beside a pond|at the edge of the wood|where bees hummed all day|near a small brook|behind the old mill]",
               "pond reeds willow clover hedge wall daisies brook footbridge molehill oak", "heron tortoise crow snail goose bee toad stork hare"),
    "mountain": ("in a [high|quiet|green|narrow] valley [between snowy mountains|below the white peaks|where the wind sang|under tall cliffs|with a clear blue lake]",
                 "path waterfall pine hut lake ledge cave flowers stonebridge hill spring", "shepherd goat-old eagle marmot woodcutter owl crow donkey"),
    "castle": ("in a [faraway|small|peaceful|sunny] kingdom [beyond the sea|among the mountains|where roses grew everywhere|with a hundred bells|long forgotten on the maps]",
               "castlegarden tower kitchen stable moat roses royallibrary courtyard drawbridge fountain orchard", "cook knight gardener minstrel librarian raven horse cat owl goose"),
}

# place: (name, preposition, tag, hiding spots)
PLACE = {
    "mill": ("the old mill", "at", "town", "behind a sack of flour|under the wooden steps|beside the water wheel"),
    "market": ("the market", "at", "town", "under a fruit stall|behind a barrel|between two baskets"),
    "well": ("the [old|stone] well", "by", "town", "behind the bucket|under a loose stone|in the grass beside the well"),
    "bakery": ("the bakery", "at", "town", "under the counter|behind a flour bin|beside the warm oven"),
    "orchard": ("the [apple|old] orchard", "in", "trees", "under an apple tree|in a basket of pears|behind a ladder"),
    "bridge": ("the [old|wooden] bridge", "by", "water", "between two planks|under the railing|in the grass below the bridge"),
    "stream": ("the stream", "by", "water", "behind a smooth rock|under a fern|among the pebbles"),
    "meadow": ("the meadow", "in", "grass", "in the tall grass|under a thistle|beside a patch of clover"),
    "school": ("the [little|old] school", "at", "town", "under a bench|behind the door|beside the steps"),
    "oak": ("the [great|big|old] oak tree", "under", "trees", "between two roots|in a small hollow|under a heap of leaves"),
    "duckpond": ("the duck pond", "by", "water", "among the reeds|under a wooden bench|beside a muddy puddle"),
    "barn": ("the [red|big|old] barn", "in", "farm", "under the hay|behind the door|inside an old bucket"),
    "hill": ("the [grassy|round] hill", "on", "grass", "behind a rock|under a little bush|in the tall grass"),
    "harbour": ("the harbour", "at", "sea", "in a coil of rope|behind a wooden crate|under a fishing net"),
    "beach": ("the [sandy|long] beach", "on", "sea", "half buried in the sand|behind a piece of driftwood|under some seaweed"),
    "lighthouse": ("the lighthouse", "at", "sea", "under the spiral stairs|behind a lamp|on the window sill"),
    "pools": ("the rock pools", "by", "sea", "under a flat stone|in a pool of clear water|among the seaweed"),
    "pier": ("the [old|long] pier", "on", "sea", "under a bench|between two boards|behind a lobster pot"),
    "dunes": ("the dunes", "in", "sea", "in the dry grass|half buried in the sand|behind a little fence"),
    "cliff": ("the cliff path", "on", "sea", "beside a big stone|in a clump of heather|behind a wooden post"),
    "boathouse": ("the boathouse", "in", "sea", "under an upturned boat|behind the oars|inside a folded sail"),
    "cove": ("the [quiet|hidden] cove", "in", "sea", "behind a rock|in the mouth of a tiny cave|among the shells"),
    "henhouse": ("the hen house", "by", "farm", "in a nest of straw|under the ladder|behind the water bowl"),
    "vegetables": ("the vegetable garden", "in", "farm", "under a cabbage leaf|between the bean poles|behind a fat pumpkin"),
    "hayfield": ("the hay field", "in", "grass", "under a heap of hay|in the tall grass|behind a fence post"),
    "gate": ("the [old|white] gate", "by", "farm", "under a flat stone|behind the gatepost|in the nettles"),
    "stable": ("the stable", "in", "farm", "under the straw|behind a saddle|in an empty bucket"),
    "creek": ("the creek", "by", "water", "behind a log|among the pebbles|under a tuft of grass"),
    "windmill": ("the windmill", "at", "farm", "behind a sack of grain|on the lowest step|under the stairs"),
    "sunflowers": ("the sunflower field", "in", "grass", "under a broad leaf|between two tall stems|beside a scarecrow"),
    "park": ("the [big|green] park", "in", "trees", "under a bench|behind a chestnut tree|in a heap of leaves"),
    "library": ("the library", "in", "indoor", "between two books|under a reading table|on a low shelf"),
    "fountain": ("the fountain", "by", "water", "on the edge of the fountain|behind a flower pot|under a stone bench"),
    "rooftop": ("the rooftop garden", "in", "town", "behind a flower pot|under a watering can|beside the tomato plants"),
    "toyshop": ("the toy shop", "at", "indoor", "behind a rocking horse|under the counter|inside a toy castle"),
    "playground": ("the playground", "at", "town", "under the slide|in the sand|behind the swings"),
    "station": ("the train station", "at", "town", "under a bench|behind a suitcase|beside the ticket window"),
    "museum": ("the museum", "in", "indoor", "behind a stone lion|under the coat rack|beside a tall glass case"),
    "river": ("the river", "by", "water", "beside a bench|under a willow|behind a lamp post"),
    "square": ("the town square", "in", "town", "behind the statue|under a cafe table|beside a flower stall"),
    "mossy": ("the mossy stream", "by", "water", "behind a wet stone|under a fern|on a cushion of moss"),
    "clearing": ("the [sunny|quiet] clearing", "in", "trees", "in the tall grass|behind a tree stump|under a bluebell"),
    "brambles": ("the bramble bushes", "by", "trees", "among the thorns|under a broad leaf|behind a snail shell"),
    "log": ("the hollow log", "by", "trees", "inside the log|under a piece of bark|behind a clump of mushrooms"),
    "ferns": ("the fern valley", "in", "trees", "under a fern|beside a mossy stone|behind a rotten stump"),
    "pine": ("the [tall|fallen] pine", "by", "trees", "under the pine needles|behind a big cone|between two roots"),
    "dam": ("the beaver dam", "by", "water", "between two branches|under a pile of sticks|in the mud"),
    "mushrooms": ("the ring of mushrooms", "by", "trees", "under a red mushroom|in the moss|behind a tiny fern"),
    "cave": ("the [stone|little|dark] cave", "in", "rocks", "behind a big stone|on a narrow shelf of rock|in a dark corner"),
    "birch": ("the [tall|white] birch tree", "under", "trees", "in a small hollow|under the yellow leaves|between two roots"),
    "pond": ("the pond", "by", "water", "on a lily pad|among the reeds|behind a smooth stone"),
    "reeds": ("the reeds", "in", "water", "in an empty nest|on a floating leaf|in the soft mud"),
    "willow": ("the [old|bent] willow", "under", "trees", "behind the hanging branches|between two roots|in a hole in the trunk"),
    "clover": ("the clover patch", "in", "grass", "under a clover leaf|beside a fat bumblebee|behind a small stone"),
    "hedge": ("the [long|thick] hedge", "by", "grass", "in the brambles|under the hawthorn|beside an empty nest"),
    "wall": ("the stone wall", "by", "rocks", "in a crack in the wall|under a flat stone|behind the ivy"),
    "daisies": ("the daisy field", "in", "grass", "under a daisy|in the tall grass|beside a molehill"),
    "brook": ("the [little|chattering] brook", "by", "water", "among the pebbles|behind a smooth stone|under a fern"),
    "footbridge": ("the [wooden|narrow] footbridge", "by", "water", "between two planks|under the railing|in the reeds"),
    "molehill": ("the biggest molehill", "by", "grass", "in the soft earth|behind the molehill|under a dandelion"),
    "path": ("the [steep|rocky] path", "on", "rocks", "behind a boulder|beside a small bush|in a crack in the rock"),
    "waterfall": ("the waterfall", "by", "water", "behind a wet rock|under a fern|on a mossy stone"),
    "hut": ("the shepherd's hut", "at", "rocks", "behind the woodpile|under the bench|beside the door"),
    "lake": ("the [clear|blue] lake", "by", "water", "behind a log|among the white pebbles|under a little boat"),
    "ledge": ("the rocky ledge", "on", "rocks", "in a crack in the rock|behind a loose stone|under a tuft of grass"),
    "flowers": ("the flower meadow", "in", "grass", "under a blue gentian|in the tall grass|beside a flat stone"),
    "stonebridge": ("the stone bridge", "by", "water", "between two stones|under the arch|in the moss"),
    "spring": ("the cold spring", "by", "water", "behind a rock|in the wet moss|among the pebbles"),
    "castlegarden": ("the castle garden", "in", "grass", "under a lavender bush|behind a marble bench|beside a sundial"),
    "tower": ("the [tall|north] tower", "in", "indoor", "on the window ledge|under the winding stairs|behind an old shield"),
    "kitchen": ("the royal kitchen", "in", "indoor", "behind a copper pot|under the long table|beside the bread oven"),
    "moat": ("the moat", "by", "water", "among the water lilies|behind a stone post|in a little rowing boat"),
    "roses": ("the rose garden", "in", "grass", "under a white rose|behind a stone angel|among the thorns"),
    "royallibrary": ("the royal library", "in", "indoor", "between two old books|under a velvet chair|behind a globe"),
    "courtyard": ("the courtyard", "in", "town", "behind a barrel|under a wooden cart|beside the old pump"),
    "drawbridge": ("the drawbridge", "by", "water", "behind a heavy chain|between two planks|under a guard's stool"),
}

# helper: (adjectives, noun, gender, likely greeting)
HELPER = {
    "baker": ("round|friendly|busy", "baker", "hs"), "postman": ("tall|cheerful|tired", "postman", "h"),
    "miller": ("old|dusty|strong", "miller", "hs"), "farmer": ("kind|old|busy", "farmer", "hs"),
    "carpenter": ("clever|kind|quiet", "carpenter", "hs"), "gardener": ("old|patient|kind", "gardener", "hs"),
    "goose": ("grey|proud|white", "goose", "s"), "crow": ("clever|black|old", "crow", "hs"),
    "donkey": ("old|grey|patient", "donkey", "hs"), "owl": ("wise old|sleepy|brown", "owl", "hs"),
    "cat": ("fat grey|old black|striped", "cat", "hs"), "fisherman": ("old|bearded|quiet", "fisherman", "h"),
    "sailor": ("tall|merry|sunburnt", "sailor", "hs"), "lighthouse-keeper": ("lonely|old|kind", "lighthouse keeper", "hs"),
    "crab": ("small red|sideways-walking|grumpy", "crab", "hs"), "gull": ("noisy|white|hungry", "gull", "hs"),
    "seal": ("smooth grey|playful|gentle", "seal", "hs"), "pelican": ("big|funny|old", "pelican", "hs"),
    "hen": ("plump|red|fussy", "hen", "s"), "horse": ("big brown|gentle|white", "horse", "hs"),
    "dog": ("big shaggy|friendly|old", "dog", "hs"), "librarian": ("kind|quiet|grey-haired", "librarian", "hs"),
    "conductor": ("cheerful|tall|busy", "tram conductor", "hs"), "painter": ("young|thoughtful|tall", "painter", "hs"),
    "pigeon": ("plump|grey|clever", "pigeon", "hs"), "musician": ("poor|merry|young", "musician", "hs"),
    "deer": ("gentle|graceful|old", "deer", "hs"), "woodpecker": ("busy|green|bright", "woodpecker", "hs"),
    "tortoise": ("very old|wise|slow", "tortoise", "hs"), "badger-old": ("grumpy old|kind old|sleepy old", "badger", "hs"),
    "beaver-old": ("busy old|strong", "beaver", "hs"), "squirrel-old": ("nervous|busy old", "squirrel", "hs"),
    "snail": ("slow|tiny|polite", "snail", "hs"), "heron": ("tall grey|silent|patient", "heron", "hs"),
    "bee": ("busy little|golden|friendly", "bee", "s"), "toad": ("fat|warty old|polite", "toad", "hs"),
    "stork": ("tall white|long-legged|wise", "stork", "hs"), "hare": ("long-eared|swift|proud", "hare", "hs"),
    "shepherd": ("old|kind|quiet", "shepherd", "h"), "goat-old": ("bearded|old|stubborn", "goat", "hs"),
    "eagle": ("great|proud|golden", "eagle", "hs"), "marmot": ("fat|sleepy|friendly", "marmot", "hs"),
    "woodcutter": ("strong|kind|tall", "woodcutter", "hs"), "cook": ("round|busy|red-faced", "cook", "hs"),
    "knight": ("brave|old|tall", "knight", "hs"), "minstrel": ("merry|young|wandering", "minstrel", "hs"),
    "raven": ("clever|black|old", "raven", "hs"),
}
HUMAN_HELPER = set("baker postman miller farmer carpenter gardener fisherman sailor lighthouse-keeper librarian conductor painter "
                   "musician shepherd woodcutter cook knight minstrel".split())
SUMMER_HELPER = set("snail bee tortoise toad stork marmot heron badger-old".split())  # asleep or away in winter
FLYING_HELPER = set("goose crow owl gull pelican pigeon woodpecker heron bee stork eagle raven".split())

FAMILY = [("mother", "Mother", "s"), ("father", "Father", "h"), ("grandmother", "Grandma", "s"), ("grandfather", "Grandpa", "h"),
          ("aunt", "Auntie", "s"), ("uncle", "Uncle", "h")]

COLOURS = "red|blue|green|yellow|white|purple|orange|golden|silver"
# treasure: (noun, adjectives, plural?, what the owner did with it, sound or look)
TREASURE = [
    ("kite", COLOURS + "|striped", 0, "flew {o.it} on windy days", "[danced|floated] in the wind"),
    ("scarf", COLOURS + "|long woollen|soft", 0, "wore {o.it} every day", "[was|felt] as soft as a cloud"),
    ("music box", "little|wooden|old|painted", 0, "opened {o.it} every evening", "played a [sweet|slow|tiny] tune"),
    ("boat", "wooden|little|toy|blue", 0, "sailed {o.it} in every puddle", "[floated|sailed] like a real ship"),
    ("bell", "silver|little brass|golden|tiny", 0, "rang {o.it} every morning", "[rang|chimed] as clear as [water|morning]"),
    ("whistle", "tin|wooden|silver|little", 0, "blew {o.it} on the way to breakfast", "sounded like a [bird|blackbird]"),
    ("lantern", "little|brass|paper|old", 0, "lit {o.it} every evening", "glowed like a [small moon|little star]"),
    ("marble", "blue|green|glass|shiny", 0, "kept {o.it} under the pillow", "shone like [the sea|a drop of dew]"),
    ("drum", "red|small|painted|round", 0, "played {o.it} for everyone", "[went boom, boom, boom|sounded like far thunder]"),
    ("hat", COLOURS + "|straw|pointed", 0, "wore {o.it} in the sun and in the rain", "had a [long feather|wide brim|bright ribbon]"),
    ("mittens", COLOURS + "|woollen|warm", 1, "wore {o.it} on cold days", "[were as warm as toast|had little stars on them]"),
    ("boots", COLOURS + "|rubber|shiny new", 1, "wore {o.it} in every puddle", "[squeaked|shone] at every step"),
    ("ball", COLOURS + "|rubber|striped", 0, "[bounced|rolled] {o.it} all day long", "[bounced|jumped] higher than any other"),
    ("teddy bear", "brown|soft|old|one-eared", 0, "took {o.it} everywhere", "[had|wore] a [tiny blue vest|red bow]"),
    ("storybook", "thick|old|beautiful|blue", 0, "looked at {o.it} every night", "was full of [ships and dragons|bright pictures]"),
    ("key", "silver|golden|rusty|tiny", 0, "wore {o.it} on a string", "opened [a little wooden chest|a secret box]"),
    ("umbrella", COLOURS + "|spotted|big", 0, "opened {o.it} at the first drop of rain", "looked like a [giant flower|bright mushroom]"),
    ("ribbon", COLOURS + "|silk|long", 0, "tied {o.it} in a neat bow", "[fluttered|shone] in the [sun|light]"),
    ("spinning top", "wooden|painted|" + COLOURS, 0, "spun {o.it} on the doorstep", "[hummed|spun] until everyone was dizzy"),
    ("necklace", "shell|bead|silver|blue", 0, "wore {o.it} on special days", "[glittered|sparkled] in the [sun|light]"),
    ("flute", "wooden|silver|little|reed", 0, "played {o.it} at sunset", "sounded like [the wind|a nightingale]"),
    ("blanket", "soft|blue|patchwork|woollen", 0, "slept under {o.it} every night", "smelled of [lavender|home]"),
    ("feather", "blue|long white|golden|striped", 0, "kept {o.it} safe in a box", "shimmered in the [light|sun]"),
    ("shell", "pink|white|curly|shiny", 0, "held {o.it} to one ear each night", "[whispered|sang] like the sea"),
    ("compass", "brass|old|little|shiny", 0, "carried {o.it} on every walk", "always pointed to the north"),
    ("paintbrush", "fine|long|little|wooden", 0, "painted with {o.it} every day", "made the [brightest|finest] lines"),
    ("basket", "round|little|willow|brown", 0, "carried {o.it} to market", "could hold [a hundred berries|a whole picnic]"),
    ("slippers", "soft|" + COLOURS, 1, "wore {o.it} by the fire", "[kept|made] every toe warm"),
]

# food that can be counted: (singular, plural)
FRUIT = [("apple", "apples"), ("pear", "pears"), ("plum", "plums"), ("cherry", "cherries"), ("peach", "peaches"), ("muffin", "muffins"),
         ("biscuit", "biscuits"), ("pancake", "pancakes"), ("honey cake", "honey cakes"), ("bun", "buns"), ("carrot", "carrots"),
         ("walnut", "walnuts"), ("acorn cake", "acorn cakes"), ("tart", "tarts"), ("cookie", "cookies"), ("fig", "figs"), ("orange", "oranges")]
NUMBER = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]

# dish: (name, three ingredients, verb phrases)
DISH = [
    ("apple pie", "a basket of apples|a bag of flour|a lump of butter", "rolled the dough, cut the apples and put the pie into the oven", "smelled"),
    ("honey cake", "a jar of honey|a bag of flour|six brown eggs", "stirred the batter until it was smooth and baked the cake slowly", "smelled"),
    ("vegetable soup", "an armful of carrots|a fat onion|a bunch of parsley", "chopped everything small and let the soup bubble for an hour", "smelled"),
    ("berry jam", "a bucket of blackberries|a bag of sugar|an empty jar", "cooked the berries until they were dark and sweet", "smelled"),
    ("pumpkin soup", "an orange pumpkin|a jug of cream|a pinch of salt", "cooked the pumpkin until it was soft and stirred in the cream", "smelled"),
    ("loaf of nut bread", "a bag of flour|a bowl of nuts|a cup of milk", "kneaded the dough, let it rise and baked it until it was brown", "smelled"),
    ("kite", "two thin sticks|a sheet of paper|a ball of string", "crossed the sticks, glued the paper and tied the string", "looked"),
    ("raft", "six straight logs|a long rope|an old bedsheet", "tied the logs together and put up the sheet for a sail", "looked"),
    ("scarecrow", "an old coat|a bundle of straw|a broken broom", "stuffed the coat with straw and gave it a smiling face", "looked"),
    ("bird house", "four wooden boards|a handful of nails|a pot of paint", "nailed the boards together and painted the roof", "looked"),
    ("swing", "a strong rope|a smooth board|a ladder", "climbed the ladder and tied the rope to the thickest branch", "looked"),
    ("paper lantern", "a sheet of red paper|a piece of wire|a little candle", "bent the wire, folded the paper and put the candle inside", "looked"),
    ("flower crown", "a bunch of daisies|some long grass|a blue ribbon", "wove the stems together and tied them with the ribbon", "looked"),
    ("little drum", "an empty tin|a piece of leather|a long string", "stretched the leather over the tin and tied it tight", "looked"),
]

SEASON = {
    "spring": ("spring", "sunny|breezy|mild|bright|fresh|warm"),
    "summer": ("summer", "sunny|hot|warm|bright|golden|fine"),
    "autumn": ("autumn", "windy|misty|crisp|golden|cool|breezy"),
    "winter": ("winter", "cold|frosty|snowy|icy|clear|grey"),
}
SKY = {
    "spring": "the first flowers had opened|the birds had come back from the south|the air smelled of rain and blossom|the snow had just melted|new leaves shone on every branch|soft white clouds sailed over the hills",
    "summer": "the sun was high in the sky|bees hummed in the warm air|there was not a cloud in the sky|the days were long and bright|swallows raced across the blue sky|the air was warm and still",
    "autumn": "yellow leaves danced in the wind|the apples were ripe|mist lay over the fields|the geese were flying south|red leaves covered the ground|the wind rattled the windows",
    "winter": "snow covered the roofs|the ponds were frozen|icicles hung from the branches|the whole world was white|smoke rose from every chimney|frost glittered on the ground",
}
DETAIL = {
    "water": "The water [sparkled|glittered|murmured] [in the light|over the stones|softly].|A [dragonfly|kingfisher|blue bird] flew over the water.|Small [waves|ripples] ran across the water.|A fish jumped and was gone again.",
    "trees": "A [cuckoo|blackbird|woodpecker] called from somewhere [above|far away|among the branches].|The [leaves|branches] [whispered|rustled|swayed] in the wind.|It smelled of [moss|earth|wood] and [leaves|mushrooms|resin].|Patches of light moved over the ground.",
    "grass": "The grass [waved|bent|rustled] in the wind.|A [lark|skylark|little bird] sang high above.|A [beetle|ladybird|grasshopper] sat on a blade of grass and did not move.|It was so quiet that one could hear the grass grow.",
    "town": "People [hurried|walked|strolled] by and [smiled|nodded|waved].|Somewhere a [clock|bell] [struck|rang].|It smelled of [fresh bread|coffee|warm soup].|A little boy in a blue coat was feeding the pigeons.",
    "sea": "The [waves|gulls] were very loud that day.|The wind tasted of salt.|Far out, a white sail [moved|crept] along the horizon.|The waves rolled in, one after another.",
    "farm": "A rooster crowed [on the fence|in the yard].|It smelled of [hay|straw|warm earth].|Two hens were scratching in the dust.|The cows [looked up|mooed] and went on chewing.",
    "indoor": "It was [very quiet|cool and quiet|warm and dim] inside.|Dust danced in a beam of light.|The floor creaked at every step.|Somewhere a clock was ticking.",
    "rocks": "The stones were [warm|cold|smooth] and [grey|silent].|A lizard slipped into a crack.|Every sound came back as an echo.|High above, a [hawk|bird] was circling.",
}

# small things met on a walk; those marked with a season belong only there
ENCOUNTERS = [
    "{h} met a [snail|tortoise|caterpillar] on the path. \"[Good morning|Hello]! Where are you going?\" asked {h}. \"To the other side of the path,\" was the answer. \"I [left|set out] [yesterday|on Monday|last week].\"",
    "A [beetle|ladybird|spider] was lying on its back with its legs in the air. {h} turned it over [gently|carefully] with a [straw|leaf|feather]. \"[Thank you|Much obliged],\" said the little [thing|creature] and [marched|hurried] away.",
    "Two [sparrows|starlings|jays] were quarrelling over a [crumb|worm|seed]. {h} gave each of them a [piece of bread|crumb], and then it was quiet.",
    "{h} found a [round|flat|shiny|speckled] stone and put it in {h.his} bag. [It looked like a [sleeping mouse|small potato|little egg].|It was still warm from the sun.|One never knows when a stone may be useful.]",
    "A cloud [sailed|drifted] by that looked like a [whale|teapot|sheep|dragon|boot|ship]. {h} waved to it, [just in case|as one does].",
    "There was a puddle in the way. {h} [jumped over it|jumped right into the middle of it|looked into it and saw {h.his} own face|walked all the way around it].",
    "{h} heard a [cricket|cuckoo|blackbird] and tried to [answer|sing the same tune]. [It sounded quite different.|The singer fell silent in surprise.|From then on they sang together.]",
    "A [feather|leaf] floated down and landed [on {h}'s nose|right in front of {h}]. {^h.he} [sneezed|laughed|blew it up into the air again].",
    "A line of ants crossed the path, each with a [crumb|leaf|grain] on its back. {h} [counted them|waited politely|stepped over them with care]. [There were [forty-two|ninety-nine|more than a hundred] of them.|The last one said thank you.|It took a long, long time.]",
    "{h} found a [small|narrow|round] door in the trunk of a tree and knocked. \"[Not today|Please come back tomorrow|We are having lunch],\" called a [tiny|sleepy|squeaky] voice.",
    "A [mole|dormouse|shrew] put its head out of the earth. \"Is it [Tuesday|Sunday|spring|time for tea] already?\" it asked. \"[Not yet|I think so|Almost],\" said {h}, and the head was gone again.",
    "An old [boot|hat|kettle|umbrella] lay in the [ditch|bushes], and a family of [mice|wrens|toads] lived in it. They [waved|nodded|sang a song] when {h} came by.",
    "The wind [took|stole|blew] a [leaf|petal] out of {h}'s {h.hand} and danced away with it. \"[Keep it|You are welcome],\" {h} called after it.",
    "A [bumblebee|bee] flew around {h}'s head [three|four|seven] times. \"I am not a flower,\" said {h}. \"[My mistake|What a pity|You smell like one],\" it hummed.",
    "{h} came to a place where two roads met. {^h.he} [tossed a stick|closed {h.his} eyes and turned around|listened to the wind], and then {h.he} took the [left one|right one|one with the flowers].",
    "A [grey|striped|black] cat sat on a wall and [washed its paws|watched the world]. \"[Busy day|Lovely weather|Nothing new],\" it said. {h} [agreed|nodded|bowed].",
    "{h} found a [string|ribbon|long straw] and tied it around {h.his} {h.hand} so as not to forget something. Then {h.he} forgot [why|what it was].",
    "On a [fence|gate|branch] sat [three|four|five] crows. \"[Rain|Sunshine|Visitors],\" said the first. \"[Nonsense|Never],\" said the second. The others [slept|said nothing at all].",
    "A [toad|frog] sat in the middle of the way and would not move. So {h} [sat down too|told it a joke|went around it], and [in the end|after a while] they both [smiled|yawned].",
    "A [squirrel|jay] had forgotten where its nuts were. {h} helped it to look, and they found [two|three|seven] of them under [a root|a stone|the leaves].",
    "A [dandelion|thistle] stood all alone by the road. {h} blew once, and a hundred little parachutes sailed away.@spring summer",
    "A [butterfly|dragonfly] sat down on {h}'s shoulder and rode along [for a while|as far as the next corner].@spring summer",
    "{h} smelled at a [violet|primrose|lily of the valley] and [sneezed|closed {h.his} eyes|smiled].@spring",
    "A [lamb|foal|calf] that was [only a day|hardly a week] old looked at {h} with big eyes. \"Are you the world?\" it asked. \"Only a small part of it,\" said {h}.@spring",
    "It was so hot that the [flies|birds|crickets] were asleep. {h} drank from a [spring|well] and put {h.his} {h.hands} into the cool water.@summer",
    "{h} picked [blueberries|raspberries|wild strawberries] until {h.his} [mouth|tongue] was [blue|red|all sticky].@summer",
    "A [chestnut|pine cone|hazelnut] fell on {h}'s head. \"Ouch,\" said {h}. \"[Sorry|I slipped|That was not on purpose],\" called a squirrel from above.@autumn",
    "{h} [ran|jumped] through a heap of dry leaves, and it sounded like [the sea|laughter|applause].@autumn",
    "The geese flew over in a long line. \"[Come with us|See you in spring|To the south],\" they called. {h} waved until they were only [dots|a thin line].@autumn",
    "{h} wrote {h.his} name in the snow with a stick. [A crow walked through the middle of it.|A moment later, new snow covered it.|It looked very fine.]@winter",
    "A [robin|titmouse] was cold and puffed itself up like a ball. {h} gave it some [seeds|crumbs|oats] and a kind word.@winter",
    "{h} caught a snowflake on {h.his} [nose|tongue]. It [tickled|tasted of nothing|was gone at once].@winter",
    "The ice on a puddle [cracked|sang] when {h} stepped on it. {^h.he} did it [again|twice more|once more], because it was such a fine sound.@winter",
    "A [scarecrow|snail|milestone] stood by the road and looked [sad|lonely|bored]. {h} told it the news, and it seemed to look [happier|much better].@spring summer autumn",
    "{h} built a [tiny bridge|little boat|small dam] of [twigs|bark|stones] at the edge of a brook. [A beetle used it at once.|It held for almost a minute.|The water laughed.]@spring summer autumn",
]
GAMES = """hide-and-seek|catch|pirates|blind man's buff|king of the castle|explorers|hopscotch|circus|leapfrog|statues|follow the leader|shop|shipwreck|who can be silent the longest""".split("|")
EVENINGS = ["The sun went down [behind the hills|like a red ball|in a sea of gold].", "The first star [came out|blinked] above the [roof|trees|hill].", "[One by one|Slowly], the lights went out [everywhere|in all the windows].",
            "The moon rose, [round|thin|yellow] and [quiet|friendly|sleepy].", "A [bat|moth|night bird] flew past.", "The day was [done|over], and {h} was [tired|sleepy].", "The wind grew still, as if it were listening.", "It was time to go to [bed|sleep]."]

# the same thing in other words, for any sentence of any plot
OTHER_WORDS = {
    "at once": "at once|right away|straight away", "At last": "At last|Finally|In the end", "Suddenly": "Suddenly|All of a sudden|All at once",
    "Soon": "Soon|Before long", "began to": "began to|started to", "A little later": "A little later|A short while later|Some time later",
    "very happy": "very happy|so happy|overjoyed|full of joy", "was not angry": "was not angry|was not cross", "beautiful": "beautiful|beautiful|lovely",
    "wonderful": "wonderful|marvellous|splendid", "a long time": "a long time|a long while", "wanted to": "wanted to|wanted to|wished to", "Together they": "Together they|Side by side they|The two of them",
    "thought for a moment": "thought for a moment|thought a little|was silent for a moment", "everyone": "everyone|everybody", "nobody": "nobody|no one", "Nobody": "Nobody|No one",
    "all alone": "all alone|quite alone", "took a deep breath": "took a deep breath|breathed in deeply", "was afraid of": "was afraid of|was scared of", "From then on": "From then on|From that day on|Ever after",
    "never": "never|never|never|never|never ever", "The next day": "The next day|The next morning|On the following day", "That night": "That night|That same night", "closed": "closed|shut", "shouted": "shouted|cried",
    "smiled": "smiled|smiled|beamed", "laughed": "laughed|laughed|chuckled|giggled", "Many years ago": "Many years ago|Long ago|A long time ago",
}
CONTRACTIONS = {
    "do not": "don't", "cannot": "can't", "did not": "didn't", "was not": "wasn't", "could not": "couldn't", "is not": "isn't", "will not": "won't", "does not": "doesn't",
    "would not": "wouldn't", "were not": "weren't", "Do not": "Don't", "I am ": "I'm ", "Let us": "Let's", "We will": "We'll", "I will": "I'll",
    "I will not": "I won't", "We will not": "We won't",
}

RIDDLES = [
    ("What has a bed but never sleeps?", "a river"), ("What has teeth but cannot bite?", "a comb"), ("What gets wetter the more it dries?", "a towel"),
    ("What has a face and two hands but no legs?", "a clock"), ("What has an eye but cannot see?", "a needle"), ("What goes up and never comes down?", "your age"),
    ("What has a neck but no head?", "a bottle"), ("What can run but has no legs?", "water"), ("What is full of holes and still holds water?", "a sponge"),
    ("What has many leaves but is not a tree?", "a book"), ("What falls and never gets hurt?", "the snow"), ("What follows you all day and hides at night?", "your shadow"),
    ("What has a tongue but cannot speak?", "a shoe"), ("What flies without wings?", "the wind"), ("What has four legs and cannot walk?", "a table"),
    ("What house has no door and no window?", "an egg"), ("What is yours, but others use it more?", "your name"), ("What speaks every language and has no mouth?", "an echo"),
    ("What can you break without touching it?", "a promise"), ("What grows smaller every time it takes a bath?", "soap"),
]
# what to look for, and what fits
FINDS = {
    "round": "a pebble|a chestnut|a snail shell|a marble|a wheel from a toy cart|an acorn cup", "red": "a berry|a button|a maple leaf|a thread of wool|a brick|a radish",
    "soft": "a tuft of wool|a feather|a cushion of moss|a kitten's ear|a piece of velvet", "shiny": "a coin|a drop of water|a piece of glass|a spoon|a beetle's wing",
    "old": "a rusty nail|a worn stone step|a cracked cup|a bent horseshoe|a stump with a hundred rings", "funny": "a potato with a nose|a crooked stick|a hat on a scarecrow|a cloud like a pig|a stone with a smile",
    "that makes a noise": "a dry seed pod|a little bell|a gate that creaked|a hollow log|a paper bag", "that smells good": "a sprig of mint|a pine cone|a warm bun|a bar of soap|a bunch of thyme",
    "very small": "a grain of sand|a poppy seed|an ant's egg|a crumb|the point of a pin", "green": "a blade of grass|an ivy leaf|a frog|a bottle|a gooseberry",
    "sweet": "a lump of sugar|a drop of honey|a ripe plum|a toffee", "long": "a rope|a blade of reed|a worm|a row of ducks|a ribbon",
}
